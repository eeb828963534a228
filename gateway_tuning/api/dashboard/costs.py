"""What tuning cost, against what may be spent. An amount that nobody knows stays out of every sum and is named."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from fastapi import Request
from markupsafe import Markup
from starlette.responses import Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.charts import legend, meter, stacks
from gateway_tuning.api.dashboard.lists import Few, first_page
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import page_router
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices
from gateway_tuning.training.cost.budgets import BudgetStore
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.cost.limits import Budget, Spending, money
from gateway_tuning.training.cost.reservations import ReservationStore, month_of, spending_of

_MONTHS = 6
_NEAR = Decimal("0.8")
router = page_router()


@dataclass(frozen=True, slots=True)
class Month:
    """`meter` is empty where there is no budget in the currency of what was spent."""

    spending: Spending
    budget: Budget
    meter: Markup

    @property
    def spent(self) -> str:
        told = [money(amount, currency) for currency, amount in sorted(self.spending.amounts.items())]
        return " and ".join(told) or money(Decimal(0), self.budget.currency)

    @property
    def of(self) -> str:
        limit = self.budget.per_month
        return "no budget is set" if limit is None else f"of {money(limit, self.budget.currency)}"


def this_month(engine: sa.Engine, tenant: str, month: str) -> Month:
    """What counts against the budget: paid, or set aside for jobs at work."""
    spending = ReservationStore(engine).spending(tenant, month)
    budget = BudgetStore(engine).get(tenant)
    limit = budget.per_month
    if limit is None:
        return Month(spending, budget, Markup(""))
    spent = spending.amounts.get(budget.currency, Decimal(0))
    tone = "bad" if spent > limit else "note" if spent >= _NEAR * limit else ""
    told = f"{money(spent, budget.currency)} of {money(limit, budget.currency)}"
    return Month(spending, budget, meter(float(spent), float(limit), said=told, tone=tone))


@router.get("/costs", dependencies=[allow(Permission.VIEW)])
def show_costs(request: Request, caller: Caller, services: CallServices, paging: Few) -> Response:
    found = CostStore(services.engine).page(caller.tenant, limit=paging.limit + 1, before=paging.before)
    page = paging.page(request, found, show=lambda one: one, place=lambda one: (one.created_at, one.id))
    month = month_of(services.now())
    reservations = ReservationStore(services.engine).of(caller.tenant)
    by_month = [
        spending_of([one for one in reservations if one.month == name], name) for name in _months_to(month)
    ]
    return render(
        request,
        "costs.html.j2",
        month=this_month(services.engine, caller.tenant, month),
        months=by_month,
        chart=_chart(by_month),
        reserved=[one for one in reservations if one.state == "reserved"],
        entries=page.items,
        next=page.next,
        first=first_page(request),
        money=money,
        job=links.job,
    )


def _months_to(last: str) -> list[str]:
    year, month = map(int, last.split("-"))
    ordinals = range(year * 12 + month - _MONTHS, year * 12 + month)
    return [f"{ordinal // 12}-{ordinal % 12 + 1:02d}" for ordinal in ordinals]


def _chart(months: Sequence[Spending]) -> Markup:
    """Empty where nothing was spent. Currencies do not add up: with several there is no picture, only the table."""
    currencies = sorted({currency for one in months for currency in one.amounts})
    if len(currencies) != 1 or not any(one.amounts[currencies[0]] for one in months if one.amounts):
        return Markup("")
    amounts = [float(one.amounts.get(currencies[0], 0)) for one in months]
    return stacks("Spent by month", [one.month for one in months], {currencies[0]: amounts}) + legend(
        currencies
    )
