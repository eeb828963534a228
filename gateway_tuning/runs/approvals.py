"""Approvals: what may go on only once another person has said so.

A cycle or a run waits as a row, not as a process. A decision and what follows from it are one transaction; the
run that goes on is an intent, which is started now or, after a crash, later.
"""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import sqlalchemy as sa

from gateway_tuning.access.ancestry import same_person
from gateway_tuning.cycles.cycle import CycleOutcome, CycleStatus
from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.rollout import actions, canary_rows
from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.run import Intent, Run, RunKind
from gateway_tuning.runs.store import Also, RunStore, insert_run
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.paging import newest_first
from gateway_tuning.storage.tables import approvals, canaries, cycles, runs

Decision = Literal["approve", "reject"]


class ApprovalState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"  # what awaited it ended otherwise


@dataclass(frozen=True, slots=True)
class Approval:
    """`awaited_by` is "cycle", "run" or "canary", `awaited_id` its id, of a canary with `@` and the share.

    `reasons` is what the gate found, or the canary's last look.
    """

    id: str
    tenant: str
    model: str
    candidate: str
    awaited_by: str
    awaited_id: str
    requested_by: str
    reasons: tuple[str, ...]
    state: ApprovalState
    decided_by: str | None
    comment: str | None
    created_at: datetime
    decided_at: datetime | None


class ApprovalStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def get(self, approval_id: str, *, tenant: str) -> Approval:
        """Raises NotFoundError; an approval of another tenant is not found either."""
        query = sa.select(approvals).where(approvals.c.id == approval_id, approvals.c.tenant == tenant)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"No approval {approval_id}; list the approvals to see all")
        return _approval(row)

    def page(
        self,
        tenant: str,
        *,
        limit: int,
        before: tuple[datetime, str] | None = None,
        state: ApprovalState | None = None,
    ) -> list[Approval]:
        where = () if state is None else (approvals.c.state == state.value,)
        found = newest_first(self._engine, approvals, tenant=tenant, limit=limit, before=before, where=where)
        return [_approval(row) for row in found]

    def tenants_that_wait(self) -> list[str]:
        """Those with a pending approval."""
        query = (
            sa.select(approvals.c.tenant).where(approvals.c.state == ApprovalState.PENDING.value).distinct()
        )
        with reading(self._engine) as connection:
            return sorted(connection.execute(query).scalars())

    def request_run(
        self,
        intent: Intent,
        *,
        model: str,
        candidate: str,
        reasons: tuple[str, ...],
        now: datetime,
        also: Also = lambda _: None,
    ) -> Run:
        """A run that starts once it is approved. Otherwise as `RunStore.intend`."""
        with self._engine.begin() as connection:
            run = insert_run(connection, intent, status=RunStatus.AWAITING_APPROVAL, now=now)
            _insert(
                connection,
                tenant=run.tenant,
                model=model,
                candidate=candidate,
                awaited_by="run",
                awaited_id=run.id,
                requested_by=run.started_by,
                reasons=list(reasons),
                created_at=now,
            )
            if run.id == intent.id:
                also(connection)
            return run

    def await_for_cycle(
        self, cycle_id: str, *, candidate: str, reasons: tuple[str, ...], now: datetime
    ) -> bool:
        """True once the cycle is approved; until then it awaits the approval that this asks for."""
        with self._engine.begin() as connection:
            cycle = connection.execute(
                sa.select(cycles).where(cycles.c.id == cycle_id).with_for_update()
            ).one()
            if cycle.status != CycleStatus.RUNNING.value:  # it waits already, or was given up meanwhile
                return False
            _insert(
                connection,
                tenant=cycle.tenant,
                model=cycle.model,
                candidate=candidate,
                awaited_by="cycle",
                awaited_id=cycle_id,
                requested_by=cycle.started_by,
                reasons=list(reasons),
                created_at=now,
            )
            state = connection.execute(
                sa.select(approvals.c.state).where(
                    approvals.c.awaited_by == "cycle", approvals.c.awaited_id == cycle_id
                )
            ).scalar_one()
            if state == ApprovalState.PENDING.value:
                connection.execute(
                    sa.update(cycles)
                    .where(cycles.c.id == cycle_id)
                    .values(status=CycleStatus.AWAITING_APPROVAL.value)
                )
            return bool(state == ApprovalState.APPROVED.value)

    def may_approve(self, approval: Approval, principal: str) -> bool:
        """Whoever started a promotion cannot alone approve it, nor through a key that one made for the other."""
        with reading(self._engine) as connection:
            return not same_person(connection, principal, approval.requested_by)

    def decide(
        self,
        approval_id: str,
        decision: Decision,
        *,
        tenant: str,
        by: str,
        comment: str | None,
        now: datetime,
        also: Also = lambda _: None,
    ) -> tuple[Approval, Run | None]:
        """Decide once; the same decision by the same principal again changes nothing.

        Returns the approval and the run that goes on or was cancelled; a rejected cycle and a canary have none. `also`
        is called last inside the transaction of a decision that counts.

        Raises:
            ConflictError: `by` may not approve it, somebody else decided before, or what awaited it has ended.
        """
        wanted = ApprovalState.APPROVED if decision == "approve" else ApprovalState.REJECTED
        approval = self.get(approval_id, tenant=tenant)
        if wanted is ApprovalState.APPROVED and not self.may_approve(approval, by):
            raise ConflictError(
                f"{by} asked for approval {approval_id} and cannot alone grant it; another administrator must"
            )
        with self._engine.begin() as connection:
            _lock_awaited(connection, approval)
            decided = connection.execute(
                sa.update(approvals)
                .where(approvals.c.id == approval_id, approvals.c.state == ApprovalState.PENDING.value)
                .values(state=wanted.value, decided_by=by, comment=comment, decided_at=now)
            )
            if decided.rowcount == 1:
                _follow(connection, replace(approval, state=wanted, decided_by=by, comment=comment), now)
                also(connection)
        after = self.get(approval_id, tenant=tenant)
        if (after.state, after.decided_by) != (wanted, by):
            told = f"{after.state} by {after.decided_by}" if after.decided_by else f"{after.state}"
            raise ConflictError(f"Approval {approval_id} is {told} already; nothing was changed")
        return after, self._run_after(after)

    def _run_after(self, approval: Approval) -> Run | None:
        if approval.awaited_by == canary_rows.AWAITED_BY:
            return None
        run_id = approval.awaited_id if approval.awaited_by == "run" else _continuing_run(approval)
        try:
            return RunStore(self._engine).get(run_id)
        except NotFoundError:
            return None


def _lock_awaited(connection: sa.Connection, approval: Approval) -> None:
    """In the order in which the end of a cycle locks both, so that neither waits for the other."""
    if approval.awaited_by == canary_rows.AWAITED_BY:
        canary_id, _ = canary_rows.awaited(approval.awaited_id)
        connection.execute(sa.select(canaries.c.id).where(canaries.c.id == canary_id).with_for_update())
        return
    table = cycles if approval.awaited_by == "cycle" else runs
    connection.execute(sa.select(table.c.id).where(table.c.id == approval.awaited_id).with_for_update())


def _follow(connection: sa.Connection, decided: Approval, now: datetime) -> None:
    """What a decision means for whoever awaits it. Raises ConflictError where nobody does any more."""
    if decided.awaited_by == canary_rows.AWAITED_BY:
        _follow_canary(connection, decided, now)
        return
    told = f"rejected by {decided.decided_by}" + (f": {decided.comment}" if decided.comment else "")
    approved = decided.state is ApprovalState.APPROVED
    if decided.awaited_by == "run":
        status = RunStatus.QUEUED if approved else RunStatus.CANCELLED
        statement = (
            sa.update(runs)
            .where(runs.c.id == decided.awaited_id, runs.c.status == RunStatus.AWAITING_APPROVAL.value)
            .values(status=status.value, message="" if approved else told, updated_at=now)
        )
    else:
        ended = {
            "status": CycleStatus.FINISHED.value,
            "outcome": CycleOutcome.REJECTED.value,
            "reasons": [told, *decided.reasons],
            "finished_at": now,
        }
        statement = (
            sa.update(cycles)
            .where(cycles.c.id == decided.awaited_id, cycles.c.status == CycleStatus.AWAITING_APPROVAL.value)
            .values(**({"status": CycleStatus.RUNNING.value} if approved else ended))
        )
    if connection.execute(statement).rowcount != 1:
        raise ConflictError(
            f"The {decided.awaited_by} {decided.awaited_id} does not await approval {decided.id} any more"
        )
    if approved and decided.awaited_by == "cycle":
        _continue_cycle(connection, decided, now)


def _follow_canary(connection: sa.Connection, decided: Approval, now: datetime) -> None:
    canary_id, share = canary_rows.awaited(decided.awaited_id)
    by = decided.decided_by or ""
    if decided.state is ApprovalState.APPROVED:
        actions.approve_in(connection, canary_id, share, by=by, comment=decided.comment, now=now)
    else:
        actions.reject_in(connection, canary_id, by=by, comment=decided.comment, now=now)


def _continue_cycle(connection: sa.Connection, approval: Approval, now: datetime) -> None:
    plan = connection.execute(sa.select(cycles.c.plan).where(cycles.c.id == approval.awaited_id)).scalar_one()
    intent = Intent(
        id=_continuing_run(approval),
        tenant=approval.tenant,
        kind=RunKind.TUNING_CYCLE,
        parameters={"plan": plan},
        started_by=approval.decided_by or "",
        request_sha256="",
    )
    insert_run(connection, intent, status=RunStatus.QUEUED, now=now)


def _continuing_run(approval: Approval) -> str:
    return f"run-{approval.id.removeprefix('approval-')}"


def _insert(connection: sa.Connection, **asked: Any) -> None:
    with first_insert_wins(connection):
        connection.execute(
            approvals.insert().values(
                id=f"approval-{secrets.token_hex(8)}", state=ApprovalState.PENDING.value, **asked
            )
        )


def _approval(row: "sa.Row[Any]") -> Approval:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    fields["reasons"] = tuple(fields["reasons"])
    fields["state"] = ApprovalState(fields["state"])
    return Approval(**fields)
