"""When a search has to end. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from gateway_tuning.training.search.plan import SearchBudget
from gateway_tuning.training.search.trial import Trial, TrialState

FAILURES = 3  # in a row: the fault then lies not in the hyperparameters


class By(StrEnum):
    TRIALS = "trials"
    SPACE = "space"
    TIME = "time"
    MONEY = "money"
    FAILURES = "failures"

    @property
    def leaves_means(self) -> bool:
        """Whether what was found may still be confirmed."""
        return self in {By.TRIALS, By.SPACE}


@dataclass(frozen=True, slots=True)
class Ending:
    by: By
    told: str

    def __str__(self) -> str:
        return f"{self.by}: {self.told}"


@dataclass(frozen=True, slots=True)
class Price:
    """What a job will cost at most. `amount` None: it is not known, and `told` says why."""

    amount: Decimal | None
    currency: str = "USD"
    told: str = ""


ALL_TRIED = Ending(By.SPACE, "every point of the space that could be found was tried")


def ending(budget: SearchBudget, trials: Sequence[Trial], *, active_s: float) -> Ending | None:
    """What has been used up, money aside."""
    if is_late(budget, active_s):
        return Ending(By.TIME, f"{budget.hours:g} hours are over")
    searching = [trial for trial in trials if trial.role.searches]
    last = [trial for trial in searching if trial.state is not TrialState.RUNNING][-FAILURES:]
    if len(last) == FAILURES and all(trial.state is TrialState.FAILED for trial in last):
        return Ending(By.FAILURES, f"{FAILURES} trials in a row failed, the last because: {last[-1].message}")
    return Ending(By.TRIALS, f"all {budget.trials} were begun") if len(searching) >= budget.trials else None


def is_late(budget: SearchBudget, active_s: float) -> bool:
    return budget.hours is not None and active_s >= budget.hours * 3600


def refusal(budget: SearchBudget, trials: Sequence[Trial], price: Price) -> Ending | None:
    """Why a job of this price may not begin. What is not known is never taken for little."""
    if budget.money is None:
        return None
    if price.amount is None:
        told = f"what the next job costs is not known ({price.told}); give a price, or search without a money budget"
        return Ending(By.MONEY, told)
    if price.amount and price.currency != budget.currency:
        told = f"the next job is priced in {price.currency}, and the budget is in {budget.currency}"
        return Ending(By.MONEY, told)
    committed = [trial.committed for trial in trials]
    if None in committed:
        return Ending(By.MONEY, "what an earlier trial costs is not known")
    spent = sum((amount for amount in committed if amount is not None), Decimal(0))
    if spent + price.amount <= budget.money:
        return None
    told = f"{spent} of {budget.money} {budget.currency} are spent or set aside, and the next job may cost {price.amount}"
    return Ending(By.MONEY, told)
