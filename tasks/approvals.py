"""Approvals in Prefect's UI: a suspended run with a typed form for each that waits. The store decides, and once.

No run that has work to do ever waits: the form is a run of its own (`flows/await_approval.py`), whose loss loses nothing.
Whoever answers first counts, here or over the API; a later answer here ends its run with what was decided, and a form
that nobody needs any more is closed by the next `check-threshold`. Prefect does not know who fills in a form: the name
is kept as it was given, and says so in the audit log.
"""

import logging
import uuid
from typing import Literal

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.input import RunInput
from pydantic import Field

from gateway_tuning.access.audit import AuditEvent, AuditLog
from gateway_tuning.errors import ConflictError, OrchestratorError
from gateway_tuning.runs.approvals import Approval, ApprovalState
from gateway_tuning.runs.orchestrator import Event
from gateway_tuning.runs.store import RunStore
from tasks.patience import BRIEF
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.approvals")

DEPLOYMENT = "await-approval/await-approval"
REQUESTED = "approval.requested"
_MOST = 200  # pending approvals of a tenant that are looked at


class ApprovalForm(RunInput):
    decision: Literal["approve", "reject"] = Field(description="It counts once, and cannot be taken back")
    by: str = Field(
        min_length=1,
        max_length=100,
        pattern=r"\S",
        description="Your name, for the audit log. Whoever asked for the promotion cannot approve it",
    )
    reason: str | None = Field(None, max_length=1000, description="Kept with the decision")


def form_of(approval: Approval, refused: str | None = None) -> type[ApprovalForm]:
    """The form as the UI shows it, with what is known of the candidate."""
    lines = [f"**{approval.candidate}** ({approval.awaited_by} {approval.awaited_id})", ""]
    lines += [f"- {reason}" for reason in approval.reasons]
    lines += ["", f"Asked for by {approval.requested_by}."]
    if refused is not None:
        lines = [f"**Not accepted:** {refused}", "", *lines]
    return ApprovalForm.with_initial_data(description="\n".join(lines))


@task(name="read approval", **BRIEF)
def read_approval(approval_id: str, tenant: str) -> Approval:
    return runtime().approvals.get(approval_id, tenant=tenant)


@task(name="answer approval")
def answer_approval(approval: Approval, answer: ApprovalForm) -> str | None:
    """Decide by the form, and start what goes on. Why the answer does not count where another one may; else None.

    Raises:
        ConflictError: it was decided already, or what awaited it has ended.
    """
    rt = runtime()
    by = f"prefect:{answer.by.strip()}"
    if answer.decision == "approve" and _is_named(answer.by, approval.requested_by):
        return f"{answer.by} asked for it and cannot approve it alone"
    event = AuditEvent(
        tenant=approval.tenant,
        actor=by,
        action=f"approval.{answer.decision}",
        object_id=approval.id,
        # Prefect's server does not tell who filled in a form.
        detail={"awaited_by": approval.awaited_by, "awaited_id": approval.awaited_id, "name": "as given"},
    )
    audit = AuditLog(rt.engine)
    try:
        _, run = rt.approvals.decide(
            approval.id,
            answer.decision,
            tenant=approval.tenant,
            by=by,
            comment=answer.reason,
            now=now(),
            also=lambda connection: audit.append_in(connection, event, now=now()),
        )
    except ConflictError as error:
        after = rt.approvals.get(approval.id, tenant=approval.tenant)
        if after.state is ApprovalState.PENDING:
            return str(error)
        raise
    create_markdown_artifact(
        f"# {approval.id}: {answer.decision} by {by}", key="approval", description=approval.id
    )
    if run is not None:
        RunStore(rt.engine).start(run, rt.prefect, now=now())  # check-threshold starts it where this fails
    return None


def open_forms(tenant: str) -> list[str]:
    """A form for each approval that waits, and an event that tells of it; both once. What has a form.

    An approval is good without either: where Prefect does not answer, or has no such deployment, that is logged.
    """
    rt = runtime()
    if not rt.settings.prefect_api_url or not rt.settings.approval_forms:
        return []
    opened: list[str] = []
    for approval in rt.approvals.page(tenant, limit=_MOST, state=ApprovalState.PENDING):
        try:
            rt.prefect.start(
                DEPLOYMENT,
                {"approval_id": approval.id, "tenant": tenant},
                key=_key(approval.id),
            )
            rt.prefect.announce(_requested(approval))
        except OrchestratorError as error:
            logger.warning("%s has no form in Prefect's UI: %s", approval.id, error)
            break
        opened.append(approval.id)
    return opened


@task(name="see to forms of approvals", **BRIEF)
def see_to_forms() -> dict[str, list[str]]:
    """Open what is missing, of the API's approvals too, and close forms whose approval was decided elsewhere."""
    rt = runtime()
    opened = [
        approval_id for tenant in rt.approvals.tenants_that_wait() for approval_id in open_forms(tenant)
    ]
    closed = []
    for parameters in rt.prefect.under_way(DEPLOYMENT, now=now()):
        # A run that somebody started by hand may leave out what is the default.
        approval_id, tenant = str(parameters["approval_id"]), str(parameters.get("tenant", "default"))
        if rt.approvals.get(approval_id, tenant=tenant).state is ApprovalState.PENDING:
            continue
        form = rt.prefect.start(
            DEPLOYMENT, {"approval_id": approval_id, "tenant": tenant}, key=_key(approval_id)
        )
        rt.prefect.cancel(form.id)
        closed.append(approval_id)
    return {"opened": opened, "closed": closed}


def told(approval: Approval) -> str:
    by = f" by {approval.decided_by}" if approval.decided_by else ""
    return f"{approval.id} is {approval.state}{by}"


def _key(approval_id: str) -> str:
    return f"form:{approval_id}"


def _requested(approval: Approval) -> Event:
    return Event(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{REQUESTED}:{approval.id}")),
        name=REQUESTED,
        resource=f"gateway-tuning.model.{approval.model}",
        occurred=approval.created_at,
        payload={
            "tenant": approval.tenant,
            "approval": approval.id,
            "candidate": approval.candidate,
            "reasons": list(approval.reasons),
        },
    )


def _is_named(name: str, principal: str) -> bool:
    """Names are typed by hand, so the kind of the principal and capitals do not tell two people apart."""
    return name.strip().casefold() in {principal.casefold(), principal.partition(":")[2].casefold()}
