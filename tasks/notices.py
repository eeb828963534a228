"""What happened becomes notices in the store, and what is due there is sent."""

import logging

from prefect import task

from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.notices import delivery, failures, happenings
from gateway_tuning.notices.store import NoticeStore
from tasks.patience import BRIEF
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.notices")


@task(name="find notices", **BRIEF)
def find_notices() -> int:
    """How many are new. Finding them again changes nothing."""
    return happenings.find(runtime().engine, _store(), now())


@task(name="send notices", **BRIEF)
def send_notices() -> dict[str, int]:
    """A channel that does not answer is tried again by later runs, for a day; that is no failure of this one."""
    return delivery.deliver(_store(), delivery.channels_of(runtime().settings), now)


@task(name="note failed run", **BRIEF)
def note_failed_run(flow_run_id: str, flow: str, state: str, message: str, tenant: str) -> str:
    """Into the outbox, once a flow run. The id of the notice."""
    said = message or _said(flow_run_id)
    notice = failures.failed_run(flow_run_id, flow, state, said, tenant=tenant)
    _store().add([notice], now())
    return notice.id


def _said(flow_run_id: str) -> str:
    """By Prefect, of the run's end: asked here, as a parameter would show it once more."""
    rt = runtime()
    try:
        return rt.prefect.read(flow_run_id).message if rt.settings.prefect_api_url else ""
    except GatewayTuningError as error:
        logger.warning("how run %s ended is not known: %s", flow_run_id, error)
        return ""


def _store() -> NoticeStore:
    settings = runtime().settings
    return NoticeStore(runtime().engine, delivery.wanted(delivery.channels_of(settings), settings))
