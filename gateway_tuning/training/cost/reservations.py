"""Money that is set aside for jobs before a provider hears of them, so that runs side by side cannot overspend."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import cost_reservations
from gateway_tuning.training.cost.budgets import budget_of
from gateway_tuning.training.cost.estimate import Estimate
from gateway_tuning.training.cost.limits import Budget, Spending, refusal
from gateway_tuning.training.job import TuningSpec


class State(StrEnum):
    RESERVED = "reserved"
    SETTLED = "settled"
    RELEASED = "released"  # the provider never had the job


@dataclass(frozen=True, slots=True)
class Reservation:
    """`expected`, `ceiling` and `actual` are None where they are not known. `detail` has parts and reasons as told."""

    job_key: str
    tenant: str
    month: str
    provider: str
    base_model: str
    method: str
    state: State
    currency: str
    expected: Decimal | None
    ceiling: Decimal | None
    actual: Decimal | None
    confidence: str
    detail: dict[str, Any]
    created_at: datetime
    settled_at: datetime | None = None

    @property
    def counts(self) -> Decimal | None:
        """Against the budget of its month; None: not known."""
        if self.state is State.RELEASED:
            return Decimal(0)
        return self.ceiling if self.actual is None else self.actual

    @property
    def ratio(self) -> Decimal | None:
        """Actual to expected."""
        if self.actual is None or not self.expected:
            return None
        return self.actual / self.expected


def month_of(at: datetime) -> str:
    return f"{at:%Y-%m}"


class ReservationStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def reserve(
        self,
        key: str,
        spec: TuningSpec,
        found: Estimate,
        *,
        tenant: str,
        now: datetime,
        per_run: Decimal | None = None,
        currency: str = "USD",
    ) -> Reservation:
        """Set the ceiling of the estimate aside, unless the job has a reservation: a job is asked for once.

        Args:
            key: of the job.
            spec: of the job.
            found: what it is estimated to cost.
            tenant: who pays.
            now: the time; its month is charged.
            per_run: the cap of this run, besides the tenant's own.
            currency: of that cap.

        Raises:
            BudgetError: it would cost more than may be spent, or it is capped and its cost is not known.
        """
        with self._engine.begin() as connection:
            budget = budget_of(connection, tenant, for_update=True)
            known = _find(connection, key)
            if known is not None and known.state is not State.RELEASED:
                return known
            spending = _spending(connection, tenant, month_of(now))
            run = Budget(currency, per_run=per_run)
            if (error := refusal(found, spec, budget=budget, run=run, spending=spending)) is not None:
                raise error
            values = _values(spec, found, tenant, now)
            if known is None:
                with first_insert_wins(connection):
                    connection.execute(sa.insert(cost_reservations).values(job_key=key, **values))
            else:
                _write(connection, key, **values)
            made = _find(connection, key)
            if made is None:
                raise ConflictError(f"The reservation of job {key[:12]} is gone; declare the job again")
            return made

    def estimate_again(self, key: str, found: Estimate) -> None:
        """For a job that goes on and whose cost was not known when it was declared."""
        with self._engine.begin() as connection:
            known = _find(connection, key)
            if known is not None and known.state is State.RESERVED and known.ceiling is None:
                _write(connection, key, **_estimated(found))

    def settle(self, key: str, actual: Decimal | None, *, now: datetime, currency: str | None = None) -> None:
        """Write down what it did cost. A job without a reservation is left alone.

        Without a figure of the provider, `actual` None, the ceiling goes on counting. `currency` is that of the figure,
        the reservation's own when left out; an estimate in another one is no figure to hold beside it.
        """
        amount = None if actual is None else str(actual)
        with self._engine.begin() as connection:
            known = _find(connection, key)
            if known is not None and (known.actual is None or known.state is not State.SETTLED):
                is_other = actual is not None and currency not in {None, known.currency}
                other = {"currency": currency, "expected": None, "ceiling": None} if is_other else {}
                _write(connection, key, state=State.SETTLED.value, actual=amount, settled_at=now, **other)

    def release(self, key: str, *, now: datetime) -> None:
        """The provider never had the job: nothing was spent."""
        with self._engine.begin() as connection:
            known = _find(connection, key)
            if known is not None and known.state is State.RESERVED:
                _write(connection, key, state=State.RELEASED.value, settled_at=now)

    def get(self, key: str) -> Reservation:
        """Raises NotFoundError."""
        with reading(self._engine) as connection:
            known = _find(connection, key)
        if known is None:
            raise NotFoundError(f"Nothing is set aside for job {key}; `gateway-tuning costs list` shows all")
        return known

    def named(self, beginning: str) -> list[Reservation]:
        """Those of jobs whose key begins so."""
        return self._select(cost_reservations.c.job_key.startswith(beginning, autoescape=True))

    def of(self, tenant: str, *, month: str | None = None) -> list[Reservation]:
        """Oldest first."""
        wanted = [cost_reservations.c.tenant == tenant]
        return self._select(*wanted, *([] if month is None else [cost_reservations.c.month == month]))

    def spending(self, tenant: str, month: str) -> Spending:
        with reading(self._engine) as connection:
            return _spending(connection, tenant, month)

    def _select(self, *conditions: "sa.ColumnElement[bool]") -> list[Reservation]:
        query = sa.select(cost_reservations).where(*conditions)
        with reading(self._engine) as connection:
            rows = connection.execute(
                query.order_by(cost_reservations.c.created_at, cost_reservations.c.job_key)
            )
            return [_reservation(row) for row in rows]


def _find(connection: sa.Connection, key: str) -> Reservation | None:
    query = sa.select(cost_reservations).where(cost_reservations.c.job_key == key)
    row = connection.execute(query).one_or_none()
    return None if row is None else _reservation(row)


def _spending(connection: sa.Connection, tenant: str, month: str) -> Spending:
    query = sa.select(cost_reservations).where(
        cost_reservations.c.tenant == tenant, cost_reservations.c.month == month
    )
    return spending_of([_reservation(row) for row in connection.execute(query)], month)


def spending_of(reservations: Sequence[Reservation], month: str) -> Spending:
    """Sums by currency, and the jobs whose cost is not known."""
    total = Spending(month)
    for one in reservations:
        if one.counts is None:
            total = replace(total, unknown=(*total.unknown, one.job_key))
        else:
            amounts = dict(total.amounts)
            amounts[one.currency] = amounts.get(one.currency, Decimal(0)) + one.counts
            total = replace(total, amounts=amounts)
    return total


def _values(spec: TuningSpec, found: Estimate, tenant: str, now: datetime) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "month": month_of(now),
        "provider": spec.provider,
        "base_model": spec.base_model,
        "method": spec.method,
        "state": State.RESERVED.value,
        "actual": None,
        "created_at": now,
        "settled_at": None,
        **_estimated(found),
    }


def _estimated(found: Estimate) -> dict[str, Any]:
    return {
        "currency": found.currency,
        "expected": None if found.expected is None else str(found.expected),
        "ceiling": None if found.ceiling is None else str(found.ceiling),
        "confidence": found.confidence.told,
        "detail": {
            "parts": [
                {
                    "part": part.name,
                    "amount": None if part.amount is None else str(part.amount),
                    "told": part.told,
                }
                for part in found.parts
            ],
            "reasons": list(found.reasons),
            "tokens": found.tokens,
        },
    }


def _write(connection: sa.Connection, key: str, **values: Any) -> None:
    connection.execute(
        sa.update(cost_reservations).where(cost_reservations.c.job_key == key).values(**values)
    )


def _reservation(row: "sa.Row[Any]") -> Reservation:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    for name in ("expected", "ceiling", "actual"):
        fields[name] = None if fields[name] is None else Decimal(fields[name])
    return Reservation(**{**fields, "state": State(row.state)})
