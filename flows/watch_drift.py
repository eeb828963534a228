"""Has what users ask changed since the model they meet was trained? Every day, and by hand."""

import logging
from datetime import UTC, datetime

from prefect import flow
from prefect.runtime import flow_run

from gateway_tuning.drift.live.policy import LiveDriftPolicy
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.errors import OrchestratorError
from tasks import live_drift
from tasks.patience import FLOW_STAGE_S

logger = logging.getLogger("gateway_tuning.drift")

_POLICY, _SETTINGS = LiveDriftPolicy(), DriftSettings()


@flow(name="watch-drift", timeout_seconds=FLOW_STAGE_S)
def watch_drift(
    model: str | None = None,
    tenant: str | None = None,
    policy: LiveDriftPolicy = _POLICY,
    settings: DriftSettings = _SETTINGS,
) -> dict[str, str]:
    """Compare recent feedback and traffic with what the stable version was trained on and met first.

    Args:
        model: behind the gateway; every model with a stable version when left out.
        tenant: whose models; everybody's when left out.
        policy: how far back is looked, and what follows drift.
        settings: what counts as drift.

    Returns:
        State of each model and what followed.

    Raises:
        OrchestratorError: of some models the check or what should follow failed; those of the others were made.
    """
    # A run that is tried again looks at the same time again.
    at = min(flow_run.scheduled_start_time or datetime.now(UTC), datetime.now(UTC))
    told, failed = {}, {}
    for served in live_drift.served_models(tenant, model):
        name = f"{served.tenant}/{served.model}"
        try:
            report = live_drift.check_live_drift(served, policy, settings, at)
            done = live_drift.act_on_drift(report.id, policy)
        except Exception as error:  # the other models are checked all the same
            logger.exception("the check of %s failed", name)
            failed[name] = type(error).__name__
        else:
            told[name] = f"{report.detail['state']}; {done}"
    if failed:
        raise OrchestratorError(f"Not checked, see the log and run it again: {failed}; checked: {told}")
    return told
