"""May the candidate meet real users? Decided from its evaluation and the drift check, with reasons."""

from prefect import flow

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.rollout.gate import GatePolicy
from tasks import rollout
from tasks.patience import FLOW_BRIEF_S

_POLICY = GatePolicy()


@flow(name="decide-gate", flow_run_name="gate for {evaluation_id}", timeout_seconds=FLOW_BRIEF_S)
def decide_gate(evaluation_id: str, drift_id: str, policy: GatePolicy = _POLICY) -> StageResult:
    """Pass, fail, inconclusive or error; only a pass goes on to a canary.

    Args:
        evaluation_id: finished evaluation of the candidate.
        drift_id: finished drift check of its dataset.
        policy: what the candidate must show.
    """
    return rollout.decide_gate(evaluation_id, drift_id, policy)
