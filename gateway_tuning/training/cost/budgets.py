"""What a tenant may spend on tuning: a run, a month."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import budgets
from gateway_tuning.training.cost.limits import Budget


class BudgetStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def get(self, tenant: str) -> Budget:
        """One without limits where none was set."""
        with reading(self._engine) as connection:
            return budget_of(connection, tenant)

    def all(self) -> dict[str, Budget]:
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(budgets).order_by(budgets.c.tenant))
            return {row.tenant: _budget(row) for row in rows}

    def set(self, tenant: str, budget: Budget, *, by: str, now: datetime) -> None:
        """Raises ConfigurationError for a limit below zero."""
        for name, limit in (("per run", budget.per_run), ("per month", budget.per_month)):
            if limit is not None and limit < 0:
                raise ConfigurationError(f"The limit {name} of {tenant} is {limit}; give 0 or more, or none")
        values: dict[str, Any] = {
            "currency": budget.currency,
            "per_run": _stored(budget.per_run),
            "per_month": _stored(budget.per_month),
            "updated_by": by,
            "updated_at": now,
        }
        with self._engine.begin() as connection:
            with first_insert_wins(connection):
                connection.execute(sa.insert(budgets).values(tenant=tenant, **values))
            connection.execute(sa.update(budgets).where(budgets.c.tenant == tenant).values(**values))


def budget_of(connection: sa.Connection, tenant: str, *, for_update: bool = False) -> Budget:
    """`for_update` makes others who reserve for the tenant wait until the transaction ends."""
    query = sa.select(budgets).where(budgets.c.tenant == tenant)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    return Budget() if row is None else _budget(row)


def _budget(row: "sa.Row[Any]") -> Budget:
    return Budget(row.currency, _decimal(row.per_run), _decimal(row.per_month))


def _stored(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
