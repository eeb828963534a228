"""Enough new feedback to tune again? Counted in the store, once a watermark, and announced by one event.

A model counts its tenant's feedback beyond the watermark of its last cycle, as far as it came within the hours
before. A tenant that has no model yet means the default one of `CyclePlan`, if nobody else has taken that name.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from gateway_tuning.cycles.cycle import CycleStatus
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.datasets.recipe import RECIPE_VERSION
from gateway_tuning.errors import ConflictError, NotFoundError, OrchestratorError
from gateway_tuning.runs.orchestrator import Event, Orchestrator
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import cycles, feedback, models, tenants, thresholds
from gateway_tuning.storage.tenants import claim_model

EVENT = "feedback.threshold-reached"
DEFAULT_MODEL: str = CyclePlan.model_fields["model"].default
_NAMESPACE = uuid.UUID("5f0c1b1e-5d0e-5c57-9a55-6b1d6a1f7d3e")


@dataclass(frozen=True, slots=True)
class Threshold:
    """What makes a model's crossing: its own setting where it has one, else the default."""

    model: str
    own_count: int | None
    own_hours: float | None
    default_count: int
    default_hours: float

    @property
    def count(self) -> int:
        return self.default_count if self.own_count is None else self.own_count

    @property
    def hours(self) -> float:
        return self.default_hours if self.own_hours is None else self.own_hours

    @property
    def is_default(self) -> bool:
        return self.own_count is None and self.own_hours is None


@dataclass(frozen=True, slots=True)
class Crossing:
    """A model's threshold was reached beyond this watermark. `counted` is what was counted, not all there is."""

    tenant: str
    model: str
    watermark: int
    event_id: str
    counted: int
    reached_at: datetime
    announced_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How near a model is to its threshold. `counted` ends at what is needed; `is_reached` stays until the next cycle."""

    threshold: Threshold
    counted: int
    is_reached: bool


class ThresholdStore:
    def __init__(self, engine: sa.Engine, *, default_count: int, default_hours: float) -> None:
        self._engine = engine
        self._default_count = default_count
        self._default_hours = default_hours

    def setting(self, tenant: str, model: str) -> Threshold:
        """Raises NotFoundError for a model that is not the tenant's."""
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(models).where(models.c.name == model, models.c.tenant == tenant)
            ).one_or_none()
        if row is None:
            raise NotFoundError(f"No model {model} of {tenant}; `gateway-tuning models` lists them")
        return self._threshold(row)

    def set(self, tenant: str, model: str, *, count: int | None, hours: float | None) -> Threshold:
        """None is the default again. Raises NotFoundError for a model that is not the tenant's."""
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(models)
                .where(models.c.name == model, models.c.tenant == tenant)
                .values(feedback_threshold=count, threshold_hours=hours)
            )
        return self.setting(tenant, model)

    def tenants(self) -> list[str]:
        with reading(self._engine) as connection:
            return list(connection.execute(sa.select(tenants.c.name).order_by(tenants.c.name)).scalars())

    def reached(self, tenant: str, now: datetime) -> list[Crossing]:
        """Crossings that this call found first. However many ask at once, each is given out once."""
        crossings = [self._cross(tenant, threshold, now) for threshold in self._thresholds(tenant)]
        return [crossing for crossing in crossings if crossing is not None]

    def progress(self, tenant: str, now: datetime) -> list[Progress]:
        """Of every model of the tenant, by its name; of the default one where there is none."""
        found = []
        for threshold in self._thresholds(tenant):
            with reading(self._engine) as connection:
                watermark = _watermark(connection, tenant, threshold.model)
                is_reached = _is_crossed(connection, tenant, threshold.model, watermark)
                counted = _count(connection, tenant, watermark, threshold, now)
            found.append(Progress(threshold, counted, is_reached or counted >= threshold.count))
        return found

    def unannounced(self, tenant: str | None = None) -> list[Crossing]:
        where: list[sa.ColumnElement[bool]] = [thresholds.c.announced_at.is_(None)]
        if tenant is not None:
            where.append(thresholds.c.tenant == tenant)
        return self._crossings(*where)

    def unanswered(self, *, announced_before: datetime) -> list[Crossing]:
        """Announced before then, and no cycle went beyond the watermark since.

        While a cycle of the model is unfinished, in its canary for days perhaps, a new one could not begin: such a
        crossing waits for its end.
        """
        answered = (
            sa.select(cycles.c.id)
            .where(cycles.c.tenant == thresholds.c.tenant, cycles.c.model == thresholds.c.model)
            .where(
                sa.or_(
                    cycles.c.watermark > thresholds.c.watermark, cycles.c.status != CycleStatus.FINISHED.value
                )
            )
        )
        return self._crossings(thresholds.c.announced_at < announced_before, ~sa.exists(answered))

    def mark_announced(self, crossing: Crossing, now: datetime) -> None:
        self._mark(crossing, announced_at=now, error=None)

    def mark_error(self, crossing: Crossing, error: str) -> None:
        self._mark(crossing, error=error)

    def plan(self, tenant: str, model: str) -> CyclePlan:
        """The plan of the model's last cycle, which the next one repeats; the defaults where there is none to read."""
        query = (
            sa.select(cycles.c.plan)
            .where(cycles.c.tenant == tenant, cycles.c.model == model)
            .order_by(cycles.c.created_at.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            last: dict[str, Any] | None = connection.execute(query).scalar_one_or_none()
        if last is None:
            return CyclePlan(tenant=tenant, model=model)
        try:
            current = last | {"recipe": last["recipe"] | {"version": RECIPE_VERSION}}
            return CyclePlan.model_validate(current)
        except (ValidationError, KeyError, TypeError):  # of another version of this program
            return CyclePlan(tenant=tenant, model=model)

    def announce(self, crossings: Sequence[Crossing], orchestrator: Orchestrator, now: datetime) -> int:
        """Announce each and keep what came of it. Returns how many could not be."""
        failed = 0
        for crossing in crossings:
            try:
                orchestrator.announce(self._event(crossing))
            except OrchestratorError as error:
                self.mark_error(crossing, str(error))
                failed += 1
            else:
                self.mark_announced(crossing, now)
        return failed

    def _event(self, crossing: Crossing) -> Event:
        plan = self.plan(crossing.tenant, crossing.model)
        return Event(
            id=crossing.event_id,
            name=EVENT,
            resource=f"gateway-tuning.model.{crossing.model}",
            occurred=crossing.reached_at,
            payload={
                "tenant": crossing.tenant,
                "model": crossing.model,
                "watermark": crossing.watermark,
                "counted": crossing.counted,
                "plan": plan.model_dump(mode="json"),
            },
        )

    def _thresholds(self, tenant: str) -> list[Threshold]:
        query = sa.select(models).where(models.c.tenant == tenant).order_by(models.c.name)
        with reading(self._engine) as connection:
            own = [self._threshold(row) for row in connection.execute(query)]
        return own or [Threshold(DEFAULT_MODEL, None, None, self._default_count, self._default_hours)]

    def _threshold(self, row: "sa.Row[Any]") -> Threshold:
        return Threshold(
            row.name, row.feedback_threshold, row.threshold_hours, self._default_count, self._default_hours
        )

    def _cross(self, tenant: str, threshold: Threshold, now: datetime) -> Crossing | None:
        with reading(self._engine) as connection:
            watermark = _watermark(connection, tenant, threshold.model)
            if _is_crossed(connection, tenant, threshold.model, watermark):
                return None
            counted = _count(connection, tenant, watermark, threshold, now)
        if counted < threshold.count:
            return None
        try:
            claim_model(self._engine, threshold.model, tenant, now=now)
        except ConflictError:  # the default name is another tenant's: this one has to name its model itself
            return None
        crossing = Crossing(
            tenant=tenant,
            model=threshold.model,
            watermark=watermark,
            event_id=str(uuid.uuid5(_NAMESPACE, f"{threshold.model}:{watermark}")),
            counted=counted,
            reached_at=now,
        )
        return crossing if self._is_first(crossing) else None

    def _is_first(self, crossing: Crossing) -> bool:
        values = {name: getattr(crossing, name) for name in thresholds.c.keys()}  # noqa: SIM118 - no mapping
        try:
            with self._engine.begin() as connection:
                connection.execute(thresholds.insert().values(**values))
        except sa.exc.IntegrityError:  # somebody else found it
            return False
        return True

    def _mark(self, crossing: Crossing, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(thresholds)
                .where(
                    thresholds.c.tenant == crossing.tenant,
                    thresholds.c.model == crossing.model,
                    thresholds.c.watermark == crossing.watermark,
                )
                .values(**values)
            )

    def _crossings(self, *where: sa.ColumnElement[bool]) -> list[Crossing]:
        query = sa.select(thresholds).where(*where).order_by(thresholds.c.reached_at, thresholds.c.model)
        with reading(self._engine) as connection:
            return [Crossing(**row) for row in connection.execute(query).mappings()]


def _watermark(connection: sa.Connection, tenant: str, model: str) -> int:
    query = sa.select(sa.func.max(cycles.c.watermark)).where(
        cycles.c.tenant == tenant, cycles.c.model == model
    )
    return connection.execute(query).scalar() or 0


def _is_crossed(connection: sa.Connection, tenant: str, model: str, watermark: int) -> bool:
    query = sa.select(thresholds.c.event_id).where(
        thresholds.c.tenant == tenant, thresholds.c.model == model, thresholds.c.watermark == watermark
    )
    return connection.execute(query).first() is not None


def _count(
    connection: sa.Connection, tenant: str, watermark: int, threshold: Threshold, now: datetime
) -> int:
    """At most the threshold: only its newest so many records are read, whatever the table holds."""
    newest = (
        sa.select(feedback.c.received_at)
        .where(feedback.c.tenant == tenant, feedback.c.sequence > watermark)
        .order_by(feedback.c.sequence.desc())
        .limit(threshold.count)
        .subquery()
    )
    since = now - timedelta(hours=threshold.hours)
    query = sa.select(sa.func.count()).select_from(newest).where(newest.c.received_at >= since)
    return connection.execute(query).scalar_one()
