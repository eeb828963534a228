"""What a shadow found, as an artifact."""

from prefect import flow

from tasks import shadows
from tasks.patience import FLOW_BRIEF_S
from tasks.runs import NOTED


@flow(name="report-shadow", flow_run_name="report of {shadow_id}", timeout_seconds=FLOW_BRIEF_S, **NOTED)
def report_shadow(shadow_id: str) -> str:
    """Compare both answers to each mirrored request. Returns the outcome: pass, fail or inconclusive.

    Args:
        shadow_id: as `gateway-tuning shadow list` shows it.
    """
    return shadows.report_shadow(shadow_id)
