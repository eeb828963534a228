"""Tell people what happened: what is new becomes a notice, and what is due is sent. Every minute; never sleeps."""

from prefect import flow

from tasks import notices
from tasks.patience import FLOW_BRIEF_S


@flow(name="deliver-notices", timeout_seconds=FLOW_BRIEF_S)
def deliver_notices() -> dict[str, int]:
    """Notices that are new, sent, to be tried again, and given up."""
    found = notices.find_notices()
    return {"found": found, **notices.send_notices()}
