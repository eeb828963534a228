"""Canaries in the metadata store: each look changes state, history and aliases together or nothing at all."""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.registry.alias_moves import alias, point_alias
from gateway_tuning.registry.model_version import CANDIDATE, STABLE
from gateway_tuning.registry.store import holds_erased, require_no_erased
from gateway_tuning.rollout.canary import Canary, Decision, Failure, Freshness, Look, advance, begin
from gateway_tuning.rollout.judge import Metric, Statistics, Verdict, metrics
from gateway_tuning.rollout.judge import judge as default_judge
from gateway_tuning.rollout.outcomes import OutcomeStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import canaries, canary_looks

Judge = Callable[[Statistics, CanaryPolicy, tuple[Metric, ...]], Verdict]


class CanaryStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._outcomes = OutcomeStore(engine)

    def start(
        self,
        canary_id: str,
        *,
        tenant: str,
        model: str,
        candidate: str,
        control: str,
        policy: CanaryPolicy,
        now: datetime,
    ) -> Canary:
        """Begin, or return the canary of this id where it began before.

        Raises:
            ConflictError: the id belongs to another comparison, the model has a running canary, or its alias
                `stable` does not point to `control`.
            ErasedError: the candidate was trained on data of a person who was erased since.
        """
        canary = begin(
            canary_id,
            tenant=tenant,
            model=model,
            candidate=candidate,
            control=control,
            policy=policy,
            salt=secrets.token_hex(16),
            now=now,
        )
        try:
            with self._engine.begin() as connection:
                found = _find(connection, canary_id)
                if found is None:
                    _refuse_unfit(connection, canary)
                    connection.execute(sa.insert(canaries).values(_row(canary)))
                    return canary
        except sa.exc.IntegrityError as error:  # somebody was quicker: with this canary or with another one
            with reading(self._engine) as connection:
                found = _find(connection, canary_id)
            if found is None:
                raise ConflictError(
                    f"Model {model} has a running canary; let it end before {canary_id} starts"
                ) from error
        if _pinned(found) != _pinned(canary):
            raise ConflictError(
                f"Canary {canary_id} compares other versions or has another policy; use a new id"
            )
        return found

    def get(self, canary_id: str) -> Canary:
        """Raises NotFoundError."""
        with reading(self._engine) as connection:
            return _get(connection, canary_id)

    def running(self, model: str | None = None) -> list[Canary]:
        query = sa.select(canaries.c.id).where(canaries.c.state == "running").order_by(canaries.c.id)
        if model is not None:
            query = query.where(canaries.c.model == model)
        with reading(self._engine) as connection:
            return [_get(connection, row.id) for row in connection.execute(query).all()]

    def looks(self, canary_id: str) -> list[Look]:
        query = (
            sa.select(canary_looks).where(canary_looks.c.canary_id == canary_id).order_by(canary_looks.c.look)
        )
        with reading(self._engine) as connection:
            return [_look(row) for row in connection.execute(query)]

    def tick(
        self, canary_id: str, *, now: datetime, judge: Judge = default_judge
    ) -> tuple[Canary, Look | None]:
        """Look once and act. Safe to run twice at the same time: one look counts, the other changes nothing.

        Returns the canary and its last look: this one, or the one of whoever was quicker. A canary that has
        ended is only returned.
        """
        with reading(self._engine) as connection:
            before = _get(connection, canary_id)
            stable = alias(connection, before.model, STABLE)
            erased = holds_erased(connection, before.candidate)
        if before.state == "running":
            statistics, freshness = self._outcomes.arm_statistics(
                canary_id, failed_request_seconds=before.policy.failed_request_seconds
            )
            findings = _find_out(before, stable, statistics, judge, erased=erased)
            self._record(before, findings, freshness, now)
        looks = self.looks(canary_id)
        return self.get(canary_id), looks[-1] if looks else None

    def _record(
        self, before: Canary, findings: Verdict | Failure, freshness: Freshness, now: datetime
    ) -> None:
        after, decision = advance(before, findings, freshness, now)
        with self._engine.begin() as connection:
            if after.state == "promoted" and holds_erased(connection, after.candidate):
                return  # it was marked after this look began; the next look ends the canary
            if not _swap(connection, before, after):
                return
            connection.execute(
                sa.insert(canary_looks).values(_look_row(before, after, decision, findings, now))
            )
            if after.state != "running":
                _end(connection, after, now)


def _find_out(
    canary: Canary, stable: str | None, statistics: Statistics, judge: Judge, *, erased: bool
) -> Verdict | Failure:
    if erased:
        # Not a roll-back: nothing was found against the candidate, but it may not be promoted whatever is found.
        return Failure(f"{canary.candidate} was trained on data of a person who was erased since", voids=True)
    if stable != canary.control:
        reason = f"alias stable of {canary.model} now points to {stable}, not to the control {canary.control}"
        return Failure(reason, voids=True)
    try:
        return judge(statistics, canary.policy, metrics(canary.policy))
    except Exception as error:  # noqa: BLE001 - whatever a judge raises is kept as a look that holds
        return Failure(f"the judge failed: {type(error).__name__}: {error}")


def _swap(connection: sa.Connection, before: Canary, after: Canary) -> bool:
    statement = (
        sa.update(canaries)
        .where(canaries.c.id == before.id, canaries.c.looks == before.looks, canaries.c.state == "running")
        .values(
            state=after.state,
            stage=after.stage,
            share=after.share,
            looks=after.looks,
            reasons=list(after.reasons),
            stage_started_at=after.stage_started_at,
            finished_at=after.finished_at,
        )
    )
    return connection.execute(statement).rowcount == 1


def _end(connection: sa.Connection, canary: Canary, now: datetime) -> None:
    """Move the aliases with the canary's end. Raises ConflictError when `stable` left the control meanwhile."""
    reason = f"canary {canary.id} ended {canary.state}"
    if canary.state == "promoted":
        point_alias(
            connection,
            canary.model,
            STABLE,
            canary.candidate,
            reason=reason,
            now=now,
            expected=canary.control,
        )
    if (
        alias(connection, canary.model, CANDIDATE) == canary.candidate
    ):  # a newer candidate is none of its business
        point_alias(connection, canary.model, CANDIDATE, None, reason=reason, now=now)


def _refuse_unfit(connection: sa.Connection, canary: Canary) -> None:
    if canary.candidate == canary.control:
        raise ConflictError(f"Canary {canary.id} compares {canary.control} with itself")
    require_no_erased(connection, canary.candidate)
    stable = alias(connection, canary.model, STABLE)
    if stable != canary.control:
        raise ConflictError(
            f"Canary {canary.id} wants {canary.control} as control, but alias stable of {canary.model} "
            f"points to {stable}"
        )


def _row(canary: Canary) -> dict[str, Any]:
    return {
        "id": canary.id,
        "tenant": canary.tenant,
        "model": canary.model,
        "candidate": canary.candidate,
        "control": canary.control,
        "policy": canary.policy.model_dump(mode="json"),
        "salt": canary.salt,
        "state": canary.state,
        "stage": canary.stage,
        "share": canary.share,
        "looks": canary.looks,
        "reasons": list(canary.reasons),
        "started_at": canary.started_at,
        "stage_started_at": canary.stage_started_at,
    }


def _find(connection: sa.Connection, canary_id: str) -> Canary | None:
    row = connection.execute(sa.select(canaries).where(canaries.c.id == canary_id)).one_or_none()
    if row is None:
        return None
    last_look = sa.select(sa.func.max(canary_looks.c.at)).where(canary_looks.c.canary_id == canary_id)
    return Canary(
        id=row.id,
        tenant=row.tenant,
        model=row.model,
        candidate=row.candidate,
        control=row.control,
        policy=CanaryPolicy.model_validate(row.policy),
        salt=row.salt,
        started_at=row.started_at,
        stage_started_at=row.stage_started_at,
        state=row.state,
        stage=row.stage,
        share=row.share,
        looks=row.looks,
        last_look_at=connection.execute(last_look).scalar_one(),
        finished_at=row.finished_at,
        reasons=tuple(row.reasons),
    )


def _get(connection: sa.Connection, canary_id: str) -> Canary:
    canary = _find(connection, canary_id)
    if canary is None:
        raise NotFoundError(f"No canary {canary_id}: start one first")
    return canary


def _pinned(canary: Canary) -> tuple[str, str, str, CanaryPolicy]:
    return canary.model, canary.candidate, canary.control, canary.policy


def _look_row(
    before: Canary, after: Canary, decision: Decision, findings: Verdict | Failure, now: datetime
) -> dict[str, Any]:
    found = findings.as_json() if isinstance(findings, Verdict) else {"failure": findings.reason}
    return {
        "canary_id": before.id,
        "look": after.looks,
        "at": now,
        "stage": before.stage,
        "share": before.share,
        "decision": decision.kind,
        "verdict": {**found, "decision_reasons": list(decision.reasons)},
    }


def _look(row: sa.Row[Any]) -> Look:
    verdict = dict(row.verdict)
    reasons = tuple(verdict.pop("decision_reasons"))
    return Look(row.canary_id, row.look, row.at, row.stage, row.share, row.decision, reasons, verdict)
