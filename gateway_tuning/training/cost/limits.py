"""Whether a job may spend what it is estimated to cost. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from gateway_tuning.errors import BudgetError
from gateway_tuning.training.cost.estimate import Estimate
from gateway_tuning.training.job import TuningSpec


@dataclass(frozen=True, slots=True)
class Budget:
    """None: no limit."""

    currency: str = "USD"
    per_run: Decimal | None = None
    per_month: Decimal | None = None

    @property
    def is_capped(self) -> bool:
        return self.per_run is not None or self.per_month is not None


@dataclass(frozen=True, slots=True)
class Spending:
    """Of a tenant in a month, by currency. `unknown` are the keys of jobs whose cost nobody knows."""

    month: str
    amounts: Mapping[str, Decimal] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def refusal(
    found: Estimate, spec: TuningSpec, *, budget: Budget, run: Budget, spending: Spending
) -> BudgetError | None:
    """Why the job must not be declared, or None. `run` is the cap of the run alone, `budget` the tenant's."""
    if not (budget.is_capped or run.is_capped):
        return None
    wanted = f"Tuning {spec.base_model} at {spec.provider} on {spec.dataset_id}"
    if found.ceiling is None:
        return BudgetError(
            f"{wanted} is capped, and its cost is not known: {found.missing}. Give the price in the file that "
            "GATEWAY_TUNING_PRICE_FILE names (docs/how-to/costs.md), or lift the cap"
        )
    for caps in (run, budget):
        if caps.is_capped and caps.currency != found.currency:
            return BudgetError(
                f"{wanted} costs {found.currency} and its cap is in {caps.currency}; set the cap in {found.currency}, "
                f"or give prices in {caps.currency} in your price_file"
            )
    cost = f"{money(found.ceiling, found.currency)} ({found.confidence.told} confidence: {found.why})"
    if run.per_run is not None and found.ceiling > run.per_run:
        return BudgetError(
            f"{wanted} may cost {cost}, more than this run's max_cost of {money(run.per_run, run.currency)}. "
            "Raise max_cost, or train on less"
        )
    if budget.per_run is not None and found.ceiling > budget.per_run:
        return BudgetError(
            f"{wanted} may cost {cost}, more than the {money(budget.per_run, budget.currency)} that a run may. "
            "Raise it by `gateway-tuning budgets set --per-run`, or train on less"
        )
    return _month_refusal(found.ceiling, wanted, cost, budget, spending)


def _month_refusal(
    ceiling: Decimal, wanted: str, cost: str, budget: Budget, spending: Spending
) -> BudgetError | None:
    if budget.per_month is None:
        return None
    if spending.unknown:
        jobs = ", ".join(key[:12] for key in spending.unknown)
        return BudgetError(
            f"{wanted} is capped by month, and what {jobs} cost in {spending.month} is not known. Give the price in "
            "your price_file and run `gateway-tuning costs reprice`, or lift the cap"
        )
    if strange := sorted(set(spending.amounts) - {budget.currency}):
        return BudgetError(
            f"{wanted} is capped by month in {budget.currency}, and {' and '.join(strange)} was spent in "
            f"{spending.month}; give prices in one currency in your price_file"
        )
    spent = spending.amounts.get(budget.currency, Decimal(0))
    if spent + ceiling > budget.per_month:
        return BudgetError(
            f"{wanted} may cost {cost}, and {money(spent, budget.currency)} of the "
            f"{money(budget.per_month, budget.currency)} for {spending.month} are spent or set aside. Raise it by "
            "`gateway-tuning budgets set --per-month`, or wait for the next month"
        )
    return None


def money(amount: Decimal, currency: str) -> str:
    """With cents, and with what is below them where that is all."""
    cents = amount.quantize(Decimal("0.01"))
    return f"{cents if amount == cents or amount >= 1 else amount.normalize():f} {currency}"
