"""Canaries in the metadata store: each look changes state, history and aliases together or nothing at all."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError
from gateway_tuning.registry.alias_moves import alias
from gateway_tuning.registry.model_version import STABLE
from gateway_tuning.registry.store import holds_erased, require_no_erased
from gateway_tuning.rollout import canary_rows
from gateway_tuning.rollout.actions import granted_override
from gateway_tuning.rollout.arm_statistics import arm_statistics
from gateway_tuning.rollout.canary import Canary, Failure, Freshness, Look, Override, advance, begin
from gateway_tuning.rollout.configuration import Configuration
from gateway_tuning.rollout.judge import Metric, Statistics, Verdict, metrics
from gateway_tuning.rollout.judge import judge as default_judge
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.verification import Verification
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import canaries

Judge = Callable[[Statistics, CanaryPolicy, tuple[Metric, ...]], Verdict]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a canary cannot start. It `passes` where another canary of the model has to end first."""

    reason: str
    passes: bool


class CanaryStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

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
        started_by: str | None = None,
        supersede: bool = False,
        salt: str | None = None,
    ) -> Canary:
        """Begin, or return the canary of this id where it began before.

        Args:
            canary_id: names the experiment, and with `salt` decides who is in it.
            tenant: whose model it is.
            model: behind the gateway.
            candidate: the version on trial.
            control: the version that is stable.
            policy: pinned for its whole life.
            now: its beginning.
            started_by: cannot alone approve or override anything in it.
            supersede: a canary of the model that runs ends as superseded, in the same transaction.
            salt: a new one where absent.

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
            salt=salt or secrets.token_hex(16),
            now=now,
            started_by=started_by,
        )
        try:
            with self._engine.begin() as connection:
                found = canary_rows.find(connection, canary_id)
                if found is None:
                    _refuse_unfit(connection, canary)
                    if supersede:
                        _supersede(connection, canary, now)
                    pinned = canary_rows.configuration_of(connection, canary)
                    canary = replace(canary, config_hash=pinned.hash)
                    canary_rows.insert(connection, canary)
                    return canary
        except sa.exc.IntegrityError as error:  # somebody was quicker: with this canary or with another one
            with reading(self._engine) as connection:
                found = canary_rows.find(connection, canary_id)
            if found is None:
                raise ConflictError(
                    f"Model {model} has a running canary; let it end before {canary_id} starts, or supersede it"
                ) from error
        if _pinned(found) != _pinned(canary):
            raise ConflictError(
                f"Canary {canary_id} compares other versions or has another policy; use a new id"
            )
        return found

    def obstacle(self, canary_id: str, *, model: str, control: str) -> Obstacle | None:
        """None where it can start now, or has started."""
        with reading(self._engine) as connection:
            if canary_rows.find(connection, canary_id) is not None:
                return None
            stable = alias(connection, model, STABLE)
        if stable != control:
            moved = f"alias stable of {model} now points to {stable}, not to {control}, to which the candidate was compared"
            return Obstacle(moved, passes=False)
        for other in self.running(model):
            return Obstacle(f"canary {other.id} of {model} has to end first", passes=True)
        return None

    def get(self, canary_id: str) -> Canary:
        """Raises NotFoundError."""
        with reading(self._engine) as connection:
            return canary_rows.get(connection, canary_id)

    def running(self, model: str | None = None) -> list[Canary]:
        where = () if model is None else (canaries.c.model == model,)
        return self._all(canaries.c.state == "running", *where)

    def looks(self, canary_id: str) -> list[Look]:
        with reading(self._engine) as connection:
            return canary_rows.looks_of(connection, canary_id)

    def tick(
        self, canary_id: str, *, now: datetime, judge: Judge = default_judge
    ) -> tuple[Canary, Look | None]:
        """Look once and act. Safe to run twice at the same time: one look counts, the other changes nothing.

        Returns the canary and its last look: this one, or the one of whoever was quicker. A canary that has
        ended is only returned.
        """
        with reading(self._engine) as connection:
            before = canary_rows.get(connection, canary_id)
            stable = alias(connection, before.model, STABLE)
            erased = holds_erased(connection, before.candidate)
            current = canary_rows.configuration_of(connection, before)
            override = granted_override(connection, before)
        if before.state == "running":
            statistics, freshness = arm_statistics(
                self._engine, canary_id, failed_request_seconds=before.policy.failed_request_seconds
            )
            findings = _void(before, stable, current, erased=erased) or _judged(before, statistics, judge)
            self._record(before, findings, freshness, override=override, seen=current, now=now)
        with reading(self._engine) as connection:
            return canary_rows.get(connection, canary_id), canary_rows.last_look(connection, canary_id)

    def unverified(self, *, asked: bool = True) -> list[Canary]:
        """Those whose end the gateways have not confirmed; `asked=False` leaves out what has been asked about."""
        unasked = () if asked else (canaries.c.verification.is_(None),)
        return self._all(canaries.c.state != "running", canaries.c.verified_at.is_(None), *unasked)

    def note_verification(self, canary: Canary, found: Verification, *, now: datetime) -> None:
        """A canary whose end has changed since `canary` was read is left alone."""
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(canaries)
                .where(canaries.c.id == canary.id, canaries.c.state == canary.state)
                .values(verification=found.told, verified_at=now if found.verified else None)
            )

    def stable(self, model: str) -> str | None:
        """The version that every gateway should serve."""
        with reading(self._engine) as connection:
            return alias(connection, model, STABLE)

    def _all(self, *where: sa.ColumnElement[bool]) -> list[Canary]:
        query = sa.select(canaries.c.id).where(*where).order_by(canaries.c.id)
        with reading(self._engine) as connection:
            found = connection.execute(query).scalars().all()
            return [canary_rows.get(connection, canary_id) for canary_id in found]

    def _record(
        self,
        before: Canary,
        findings: Verdict | Failure,
        freshness: Freshness,
        *,
        override: Override | None,
        seen: Configuration,
        now: datetime,
    ) -> None:
        after, decision = advance(before, findings, freshness, now, override)
        with self._engine.begin() as connection:
            if decision.kind in {"advance", "promote"} and (
                holds_erased(connection, after.candidate)
                or canary_rows.configuration_of(connection, before).hash != seen.hash
            ):
                return  # that came after this look began; the next look ends the canary
            if not canary_rows.swap(connection, before, replace(after, config_hash=seen.hash)):
                return
            canary_rows.insert_look(connection, before, decision, findings, now)
            if decision.asks is not None:
                canary_rows.ask_approval(connection, before, decision.asks, decision.reasons, now)
            if after.state != "running":
                canary_rows.end(connection, after, now, by=after.ended_by)


def _void(canary: Canary, stable: str | None, current: Configuration, *, erased: bool) -> Failure | None:
    if erased:
        # Not a roll-back: nothing was found against the candidate, but it may not be promoted whatever is found.
        return Failure(f"{canary.candidate} was trained on data of a person who was erased since", voids=True)
    if stable != canary.control:
        reason = f"alias stable of {canary.model} now points to {stable}, not to the control {canary.control}"
        return Failure(reason, voids=True)
    if canary.config_hash is not None and canary.config_hash not in {current.hash, *current.before}:
        reason = (
            "the configuration changed while it ran: an endpoint, the policy, the assignment or the judge; "
            "start a new canary"
        )
        return Failure(reason, voids=True)
    return None


def _judged(canary: Canary, statistics: Statistics, judge: Judge) -> Verdict | Failure:
    try:
        return judge(statistics, canary.policy, metrics(canary.policy))
    except Exception as error:  # noqa: BLE001 - whatever a judge raises is kept as a look that holds
        return Failure(f"the judge failed: {type(error).__name__}: {error}")


def _supersede(connection: sa.Connection, successor: Canary, now: datetime) -> None:
    query = (
        sa.select(canaries.c.id)
        .where(canaries.c.model == successor.model, canaries.c.state == "running")
        .with_for_update()
    )
    running = connection.execute(query).scalar_one_or_none()
    if running is None:
        return
    before = canary_rows.get(connection, running)
    ended = replace(
        before,
        state="superseded",
        share=0.0,
        finished_at=now,
        ended_by=successor.started_by,
        reasons=(f"superseded by canary {successor.id} of {successor.candidate}",),
    )
    canary_rows.swap(connection, before, ended)
    canary_rows.end(connection, ended, now, by=successor.started_by)


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


def _pinned(canary: Canary) -> tuple[str, str, str, CanaryPolicy]:
    return canary.model, canary.candidate, canary.control, canary.policy
