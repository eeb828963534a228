"""A flow run that failed or crashed becomes a notice. Started by an automation; a run that is told twice is one notice."""

from prefect import flow

from tasks import notices
from tasks.patience import FLOW_BRIEF_S


@flow(name="report-failure", timeout_seconds=FLOW_BRIEF_S)
def report_failure(
    flow_run_id: str, flow_name: str = "", state: str = "Failed", message: str = "", tenant: str = "default"
) -> str:
    """The id of the notice.

    Args:
        flow_run_id: in Prefect.
        flow_name: of that run.
        state: in which it ended, such as Failed or Crashed.
        message: of that state; Prefect is asked where it is left out. Only the error's name goes on.
        tenant: whose notice it is.
    """
    return notices.note_failed_run(flow_run_id, flow_name, state, message, tenant)
