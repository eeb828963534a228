"""Send a small, sticky share of real users to the candidate."""

from prefect import flow

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.rollout.policy import CanaryPolicy
from tasks import rollout
from tasks.patience import FLOW_BRIEF_S
from tasks.runs import NOTED

_POLICY = CanaryPolicy()


@flow(name="start-canary", flow_run_name="canary {candidate}", timeout_seconds=FLOW_BRIEF_S, **NOTED)
def start_canary(
    canary_id: str,
    model: str,
    candidate: str,
    control: str,
    policy: CanaryPolicy = _POLICY,
    *,
    started_by: str | None = None,
    supersede: bool = False,
) -> StageResult:
    """Begin a canary; the gateway follows within a second and advance-canaries carries it to its end.

    Args:
        canary_id: any new id; starting the same canary again changes nothing.
        model: name behind the gateway.
        candidate: model version to try.
        control: the stable model version.
        policy: stages, margins, times and what a person must approve.
        started_by: cannot alone approve or override it; absent: whoever asked for this run.
        supersede: a canary of the model that runs already ends as superseded.
    """
    return rollout.start_canary(
        canary_id, model, candidate, control, policy, started_by=started_by, supersede=supersede
    )
