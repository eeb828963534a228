"""A search and its trials, as they stand in the store. Each trial is one tuning job."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from gateway_tuning.cycles.plan import TrainingPlan
from gateway_tuning.training.job import Checkpoint, TuningSpec
from gateway_tuning.training.search.plan import VALIDATION_LOSS, SearchPlan


class TrialState(StrEnum):
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    STOPPED = "stopped"  # the time of the search was over, or its job had been stopped before
    FAILED = "failed"


class Role(StrEnum):
    DEFAULT = "default"
    SEARCH = "search"
    CONFIRM_DEFAULT = "confirm default"
    CONFIRM_BEST = "confirm best"

    @property
    def searches(self) -> bool:
        return self in {Role.DEFAULT, Role.SEARCH}


Report = tuple[int, float]
"""A step and the validation loss there."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`stopping` is the state that it is to end in, written down before its provider is asked to stop its job.

    `rungs` of the pruner are behind it. `price` is what was set aside for its job: zero where that had ended before,
    None where it is not known; `cost` is what it did cost, None until that is known. `value` is of the objective; of a
    pruned trial its last validation loss.
    """

    search_id: str
    number: int
    role: Role
    hyperparameters: dict[str, Any]
    seed: int
    job_key: str
    state: TrialState
    created_at: datetime
    stopping: TrialState | None = None
    rungs: int = 0
    reports: tuple[Report, ...] = ()
    value: float | None = None
    price: Decimal | None = None
    cost: Decimal | None = None
    message: str = ""
    ended_at: datetime | None = None

    @property
    def committed(self) -> Decimal | None:
        return self.price if self.cost is None else self.cost


@dataclass(frozen=True, slots=True)
class Search:
    """`active_s` is how long runs have worked on it. `ended_by` and `finished_at` are None until it has ended."""

    id: str
    tenant: str
    dataset_id: str
    plan: SearchPlan
    created_at: datetime
    active_s: float = 0.0
    ended_by: str | None = None
    result: dict[str, Any] | None = None
    finished_at: datetime | None = None

    @property
    def lease_name(self) -> str:
        return f"search {self.id}"

    def training(self, hyperparameters: dict[str, Any], seed: int) -> TrainingPlan:
        return self.plan.training.model_copy(update={"hyperparameters": hyperparameters, "seed": seed})

    def spec(self, hyperparameters: dict[str, Any], seed: int) -> TuningSpec:
        training = self.training(hyperparameters, seed)
        return TuningSpec(
            provider=training.provider,
            base_model=training.base_model,
            dataset_id=self.dataset_id,
            method=training.method,
            hyperparameters=training.hyperparameters,
            seed=training.seed,
        )


def reports_of(checkpoints: tuple[Checkpoint, ...]) -> tuple[Report, ...]:
    """Checkpoints without a validation loss tell nothing here."""
    return tuple(
        (checkpoint.step, checkpoint.metrics[VALIDATION_LOSS])
        for checkpoint in checkpoints
        if VALIDATION_LOSS in checkpoint.metrics
    )


def reporting(trial: Trial, checkpoints: tuple[Checkpoint, ...]) -> Trial:
    return replace(trial, reports=reports_of(checkpoints) or trial.reports)
