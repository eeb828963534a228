"""What crashes left behind: runs without a process end, and what they carried goes on. Every five minutes, and on silence."""

from prefect import flow

from tasks import reconciliation
from tasks.patience import FLOW_BRIEF_S


@flow(name="reconcile-runs", timeout_seconds=FLOW_BRIEF_S)
def reconcile_runs(
    grace_seconds: float = 120.0, unstarted_seconds: float = 900.0, silent_seconds: float = 530.0
) -> dict[str, dict[str, str]]:
    """End what nobody carries, hear of what the API started, and go on with cycles: each three times at most.

    Args:
        grace_seconds: how long a run or a cycle may be without news before it is looked after.
        unstarted_seconds: how long a run may wait for its process to begin.
        silent_seconds: without a heartbeat; three of them, which the worker's settings make 180 seconds apart.
    """
    found = {
        "ended": reconciliation.end_silent_runs(unstarted_seconds, silent_seconds),
        "runs": reconciliation.hear_of_runs(grace_seconds),
        "cycles": reconciliation.restart_cycles(grace_seconds),
    }
    reconciliation.show(found)
    return found
