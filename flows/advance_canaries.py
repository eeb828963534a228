"""One look at every running canary: promote, hold or roll back. Scheduled every minute; never sleeps."""

from prefect import flow

from tasks import rollout


@flow(name="advance-canaries")
def advance_canaries() -> dict[str, str]:
    """Canary id to its state after this look."""
    return {canary_id: rollout.advance_canary(canary_id).state for canary_id in rollout.running_canaries()}
