"""The net: counts feedback again, and starts what a lost event or a dead process did not. Every five minutes."""

from prefect import flow

from tasks import approvals, runs, threshold
from tasks.patience import FLOW_BRIEF_S


@flow(name="check-threshold", timeout_seconds=FLOW_BRIEF_S)
def check_threshold(grace_seconds: float = 120.0) -> dict[str, list[str]]:
    """Announce crossings that were not, start cycles and runs that nobody has started, see to forms of approvals.

    Args:
        grace_seconds: how long an event or a start may take before it counts as lost.
    """
    found = {
        "announced": threshold.announce_crossings(),
        "cycles": threshold.start_missed_cycles(grace_seconds),
        "runs": list(runs.start_waiting_runs(grace_seconds)),
        **approvals.see_to_forms(),
    }
    threshold.show(found)
    return found
