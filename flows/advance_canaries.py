"""One look at every running canary: promote, hold or roll back. Scheduled every minute; never sleeps."""

from prefect import flow

from tasks import rollout
from tasks.patience import FLOW_BRIEF_S


@flow(name="advance-canaries", timeout_seconds=FLOW_BRIEF_S)
def advance_canaries() -> dict[str, str]:
    """First see to it that what has ended has arrived at the gateways, then look. Canary id to its state after it."""
    rollout.verify_ended_canaries()
    # One that cannot be looked at keeps no other one from its roll-back.
    looks = {one: rollout.advance_canary(one, return_state=True) for one in rollout.running_canaries()}
    return {canary_id: look.result().state for canary_id, look in looks.items()}
