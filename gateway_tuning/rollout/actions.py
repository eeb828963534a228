"""What people do to a canary: approve a share, reject it, abort, override. None of it needs the judge.

An override is the word of two people, neither of whom started the canary, that it takes its next step although a look
holds it; it never goes over harm, a void comparison or findings that are worth nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.access.ancestry import same_person
from gateway_tuning.errors import ConflictError
from gateway_tuning.registry.store import require_no_erased
from gateway_tuning.rollout import canary_rows
from gateway_tuning.rollout.canary import PROMOTION, Canary, Override, approved_up_to
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import approvals, canaries, canary_actions

Also = Callable[[sa.Connection], object]


@dataclass(frozen=True, slots=True)
class Action:
    """`action` is approve, reject, abort or override; `share` what was approved or overridden, 1 the promotion."""

    canary_id: str
    action: str
    share: float | None
    by: str
    comment: str | None
    at: datetime


class CanaryActions:
    """`also` of each is called last inside its transaction, for the audit log; never where nothing was changed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def all(self, canary_id: str) -> list[Action]:
        """Oldest first."""
        with reading(self._engine) as connection:
            return _actions(connection, canary_id)

    def approve(
        self,
        canary_id: str,
        share: float,
        *,
        by: str,
        now: datetime,
        comment: str | None = None,
        also: Also = lambda _: None,
    ) -> Canary:
        """Let it be served up to the next share that the policy wants approved. The same again changes nothing.

        Raises:
            NotFoundError: there is no such canary.
            ConflictError: it has ended, it waits for another share or for none, or `by` started it.
        """
        with self._engine.begin() as connection:
            if approve_in(connection, canary_id, share, by=by, comment=comment, now=now):
                also(connection)
        return self._get(canary_id)

    def reject(
        self,
        canary_id: str,
        *,
        by: str,
        now: datetime,
        comment: str | None = None,
        also: Also = lambda _: None,
    ) -> Canary:
        """End it instead of approving what it waits for. Raises as `abort` does."""
        with self._engine.begin() as connection:
            if reject_in(connection, canary_id, by=by, comment=comment, now=now):
                also(connection)
        return self._get(canary_id)

    def abort(
        self, canary_id: str, *, by: str, reason: str, now: datetime, also: Also = lambda _: None
    ) -> Canary:
        """All users go back to the control at once. Whoever aborts again what they aborted changes nothing.

        Raises:
            NotFoundError: there is no such canary.
            ConflictError: it has ended otherwise.
        """
        with self._engine.begin() as connection:
            if _stop(connection, canary_id, "abort", by=by, comment=reason, now=now):
                also(connection)
        return self._get(canary_id)

    def override(
        self,
        canary_id: str,
        share: float,
        *,
        by: str,
        now: datetime,
        comment: str | None = None,
        also: Also = lambda _: None,
    ) -> Canary:
        """The first person's word waits for a second one's.

        With both a running canary takes its next step at its next look, and an inconclusive one is promoted at once.

        Args:
            canary_id: which one.
            share: its next step, 1 for the promotion; that of an inconclusive one is the promotion.
            by: who says so.
            now: for the history.
            comment: why.
            also: see the class.

        Raises:
            NotFoundError: there is no such canary.
            ConflictError: it ended otherwise, its next step is another one, `by` started it, or nobody knows who did.
            ErasedError: the candidate was trained on data of a person who was erased since.
        """
        with self._engine.begin() as connection:
            if _override(connection, canary_id, share, by=by, comment=comment, now=now):
                also(connection)
        return self._get(canary_id)

    def _get(self, canary_id: str) -> Canary:
        with reading(self._engine) as connection:
            return canary_rows.get(connection, canary_id)


def approve_in(
    connection: sa.Connection, canary_id: str, share: float, *, by: str, comment: str | None, now: datetime
) -> bool:
    """`CanaryActions.approve` inside the caller's transaction; whether it changed anything."""
    canary = canary_rows.get(connection, canary_id, for_update=True)
    if any(done.by == by and done.share == share for done in _actions(connection, canary_id, "approve")):
        return False
    _require_running(canary)
    if canary.started_by is not None and same_person(connection, by, canary.started_by):
        raise ConflictError(f"{by} started canary {canary_id} and cannot alone approve a share of it")
    if share != canary.unapproved_share:
        waits = canary.unapproved_share
        remedy = (
            "nothing of it has to be approved" if waits is None else f"the next share to approve is {waits:g}"
        )
        raise ConflictError(f"Canary {canary_id} needs no approval of {share:g} now; {remedy}")
    allowed = approved_up_to(canary.policy, share)
    connection.execute(sa.update(canaries).where(canaries.c.id == canary_id).values(approved_share=allowed))
    connection.execute(
        sa.update(approvals)
        .where(approvals.c.awaited_by == canary_rows.AWAITED_BY, approvals.c.state == "pending")
        .where(approvals.c.awaited_id == canary_rows.awaited_id(canary_id, share))
        .values(state="approved", decided_by=by, comment=comment, decided_at=now)
    )
    _note(connection, Action(canary_id, "approve", share, by, comment, now))
    return True


def reject_in(
    connection: sa.Connection, canary_id: str, *, by: str, comment: str | None, now: datetime
) -> bool:
    """`CanaryActions.reject` inside the caller's transaction; whether it changed anything."""
    return _stop(connection, canary_id, "reject", by=by, comment=comment, now=now)


def granted_override(connection: sa.Connection, canary: Canary) -> Override | None:
    """What two people want of its next step."""
    if canary.state != "running":
        return None
    share = canary.next_share
    said = [done.by for done in _actions(connection, canary.id, "override") if done.share == share]
    return Override(share, (said[0], said[1])) if len(said) > 1 else None


def _stop(
    connection: sa.Connection, canary_id: str, action: str, *, by: str, comment: str | None, now: datetime
) -> bool:
    before = canary_rows.get(connection, canary_id, for_update=True)
    if before.state == "rolled_back" and before.ended_by == by:
        return False
    _require_running(before)
    word = {"abort": "aborted", "reject": "rejected"}[action]
    told = f"{word} by {by}" + (f": {comment}" if comment else "")
    ended = replace(before, state="rolled_back", share=0.0, finished_at=now, ended_by=by, reasons=(told,))
    canary_rows.swap(connection, before, ended)
    canary_rows.end(connection, ended, now, by=by)
    share = before.unapproved_share if action == "reject" else None
    _note(connection, Action(canary_id, action, share, by, comment, now))
    return True


def _override(
    connection: sa.Connection, canary_id: str, share: float, *, by: str, comment: str | None, now: datetime
) -> bool:
    canary = canary_rows.get(connection, canary_id, for_update=True)
    said = [done.by for done in _actions(connection, canary_id, "override") if done.share == share]
    if by in said:
        return False
    if canary.state not in {"running", "inconclusive"}:
        raise ConflictError(f"Canary {canary_id} has ended {canary.state}: no override goes over that")
    require_no_erased(connection, canary.candidate)
    if canary.state == "inconclusive":
        _require_sound(connection, canary)
    step = canary.next_share if canary.state == "running" else PROMOTION
    if share != step:
        raise ConflictError(f"The next step of canary {canary_id} is a share of {step:g}, not {share:g}")
    _require_outsider(connection, canary, by)
    if any(same_person(connection, by, other) for other in said):
        raise ConflictError(f"{by} and {said[0]} are one person; another one must override {canary_id}")
    _note(connection, Action(canary_id, "override", share, by, comment, now))
    if said and canary.state == "inconclusive":
        _promote_after_all(connection, canary, (said[0], by), now)
    return True


def _promote_after_all(
    connection: sa.Connection, canary: Canary, people: tuple[str, str], now: datetime
) -> None:
    """Nothing may have changed since its last look."""
    if canary_rows.configuration_of(connection, canary).hash != canary.config_hash:
        raise ConflictError(f"What canary {canary.id} compared has changed since; start a new one")
    query = sa.select(canaries.c.id).where(canaries.c.model == canary.model, canaries.c.state == "running")
    if connection.execute(query).first() is not None:
        raise ConflictError(f"Model {canary.model} has a running canary; let it end first")
    by = " and ".join(people)
    promoted = replace(
        canary,
        state="promoted",
        finished_at=now,
        ended_by=by,
        reasons=(f"{by} overrode its inconclusive end", *canary.reasons),
        approved_share=None if canary.approved_share is None else PROMOTION,
        verified_at=None,
        verification=None,
    )
    canary_rows.swap(connection, canary, promoted)
    canary_rows.end(connection, promoted, now, by=by)


def _require_sound(connection: sa.Connection, canary: Canary) -> None:
    """What the last look found must be worth something."""
    last = canary_rows.last_look(connection, canary.id)
    unsound = None if last is None else last.unsound
    if unsound is None or unsound:
        told = "; ".join(unsound or ("nobody knows what its last look saw",))
        raise ConflictError(f"Canary {canary.id} ended without findings ({told}); start a new one")


def _require_running(canary: Canary) -> None:
    if canary.state != "running":
        who = f" by {canary.ended_by}" if canary.ended_by else ""
        raise ConflictError(f"Canary {canary.id} has ended {canary.state}{who}; nothing was changed")


def _require_outsider(connection: sa.Connection, canary: Canary, by: str) -> None:
    if canary.started_by is None:
        raise ConflictError(f"Nobody knows who started canary {canary.id}, so nobody may override it")
    if same_person(connection, by, canary.started_by):
        raise ConflictError(f"{by} started canary {canary.id} and cannot override it; two others must")


def _actions(connection: sa.Connection, canary_id: str, action: str | None = None) -> list[Action]:
    kept = canary_actions.c
    query = sa.select(canary_actions).where(kept.canary_id == canary_id).order_by(kept.sequence)
    if action is not None:
        query = query.where(kept.action == action)
    return [
        Action(row.canary_id, row.action, row.share, row.actor, row.comment, row.at)
        for row in connection.execute(query)
    ]


def _note(connection: sa.Connection, action: Action) -> None:
    connection.execute(
        sa.insert(canary_actions).values(
            canary_id=action.canary_id,
            action=action.action,
            share=action.share,
            actor=action.by,
            comment=action.comment,
            at=action.at,
        )
    )
