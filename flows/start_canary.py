"""Send a small, sticky share of real users to the candidate."""

from prefect import flow

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.rollout.policy import CanaryPolicy
from tasks import rollout
from tasks.runs import NOTED

_POLICY = CanaryPolicy()


@flow(name="start-canary", flow_run_name="canary {candidate}", **NOTED)
def start_canary(
    canary_id: str, model: str, candidate: str, control: str, policy: CanaryPolicy = _POLICY
) -> StageResult:
    """Begin a canary; the gateway follows within a second and advance-canary carries it to its end.

    Args:
        canary_id: any new id; starting the same canary again changes nothing.
        model: name behind the gateway.
        candidate: model version to try.
        control: the stable model version.
        policy: stages, margins and times.
    """
    return rollout.start_canary(canary_id, model, candidate, control, policy)
