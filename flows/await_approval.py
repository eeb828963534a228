"""An approval as a form in Prefect's UI. Its run is suspended until it is filled in: no process waits."""

import time
from itertools import count

from prefect import flow
from prefect.flow_runs import suspend_flow_run
from prefect.runtime import flow_run

from gateway_tuning.runs.approvals import ApprovalState
from tasks import approvals
from tasks.patience import FLOW_BRIEF_S

_SETTLED_S = 2.0  # Prefect loses a suspension that comes with the start of its run


@flow(
    name="await-approval",
    flow_run_name="approval of {approval_id}",
    persist_result=True,
    result_serializer="json",
    timeout_seconds=FLOW_BRIEF_S,
)
def await_approval(approval_id: str, tenant: str = "default", days: float = 30.0) -> str:
    """Resume the run to approve or reject. An answer over the API counts as well: the first one does.

    Args:
        approval_id: as the API lists it.
        tenant: whose it is.
        days: how long the form stays open. The approval waits on without it.
    """
    approval = approvals.read_approval(approval_id, tenant)
    if approval.state is not ApprovalState.PENDING and (flow_run.run_count or 0) <= 1:
        return approvals.told(approval)  # nobody has filled in anything
    time.sleep(_SETTLED_S)
    refused: str | None = None
    for attempt in count(1):
        answer = suspend_flow_run(
            wait_for_input=approvals.form_of(approval, refused),
            timeout=int(days * 86_400),
            key=f"answer-{attempt}",
        )
        refused = approvals.answer_approval(approval, answer)
        if refused is None:
            break
    return approvals.told(approvals.read_approval(approval_id, tenant))
