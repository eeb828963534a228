"""Budgets of a month that come to their end."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from gateway_tuning.notices.notice import Kind, Notice, Severity, notice_id
from gateway_tuning.training.cost.budgets import BudgetStore
from gateway_tuning.training.cost.limits import Budget, Spending, money
from gateway_tuning.training.cost.reservations import ReservationStore, month_of

NEAR = Decimal("0.8")


def spending_notices(engine: sa.Engine, now: datetime) -> list[Notice]:
    """Of this month, for every tenant with a limit: near its end, at its end, or not known."""
    reservations, month = ReservationStore(engine), month_of(now)
    return [
        notice
        for tenant, budget in BudgetStore(engine).all().items()
        for notice in of_budget(tenant, budget, reservations.spending(tenant, month))
    ]


def of_budget(tenant: str, budget: Budget, spending: Spending) -> Iterator[Notice]:
    """A limit that was raised meanwhile is told again once the higher one is near its end."""
    limit, month = budget.per_month, spending.month
    if limit is None:
        return

    def told(what: str, severity: Severity, subject: str, body: str) -> Notice:
        id_ = notice_id("budget", tenant, month, str(limit), what)
        return Notice(id_, tenant, Kind.COST, severity, f"Budget of {tenant}: {subject}", body, month)

    if spending.unknown:
        jobs = ", ".join(f"`{key[:12]}`" for key in spending.unknown[:5])
        body = (
            f"Nobody knows what {jobs} cost, so no further job is started. Give the price and run "
            "`gateway-tuning costs reprice`."
        )
        yield told("unknown", Severity.WARNING, "what was spent this month is not known", body)
    spent = spending.amounts.get(budget.currency, Decimal(0))
    of = f"{money(spent, budget.currency)} of {money(limit, budget.currency)} for {month} are spent or set aside."
    if spent >= limit:
        body = (
            f"{of} No further job is started this month; `gateway-tuning budgets set --per-month` raises it."
        )
        yield told("reached", Severity.ALARM, "the month's budget is used up", body)
    elif spent >= NEAR * limit:
        yield told("near", Severity.WARNING, "the month's budget is near its end", of)
