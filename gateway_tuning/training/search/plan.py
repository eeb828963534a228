"""The plan of a search: every business choice in one form, as the Prefect UI shows it. Pure."""

import json
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway_tuning.cycles.plan import TrainingPlan
from gateway_tuning.training.search.space import SearchSpace

VALIDATION_LOSS = "validation_loss"
SIMILARITY = "similarity"


class Objective(BaseModel):
    """What is to be made best, on the validation split. The test split is for the chosen model alone, and cannot be named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = Field(
        VALIDATION_LOSS,
        description="A metric of the provider's job, or `similarity`: of answers to the preferred ones",
    )
    direction: Literal["by metric", "minimize", "maximize"] = Field(
        "by metric",
        description="By metric: a loss, error or perplexity is minimized, anything else maximized",
    )
    max_examples: int = Field(48, ge=1, description="Of `similarity`: validation examples that are asked")
    max_tokens: int = Field(96, ge=1, description="Of `similarity`: longest answer")
    base_url: str | None = Field(
        None,
        description="Of `similarity`, for models that are not local: where they are served, `/v1` included",
    )
    api_key_env: str | None = Field(None, description="The environment variable with its key")

    @property
    def minimized(self) -> bool:
        if self.direction == "by metric":
            return any(word in self.metric for word in ("loss", "error", "perplexity"))
        return self.direction == "minimize"

    def better(self, value: float, other: float) -> bool:
        return value < other if self.minimized else value > other


class Pruning(BaseModel):
    """Stop a trial that is worse than others were at the same step, by the checkpoints that the provider tells of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["none", "successive_halving", "hyperband"] = "none"
    min_steps: int = Field(10, ge=1, description="The first rung: no trial is stopped before this step")
    reduction_factor: int = Field(3, ge=2, description="One of so many goes on from each rung")
    max_steps: int | None = Field(
        None, ge=1, description="Steps of a whole job; hyperband makes its brackets of them"
    )

    @model_validator(mode="after")
    def _has_brackets(self) -> Self:
        if self.kind == "hyperband" and (self.max_steps is None or self.max_steps < self.min_steps):
            raise ValueError(
                f"Hyperband needs max_steps, the steps of a whole job, of {self.min_steps} or more"
            )
        return self


class SearchBudget(BaseModel):
    """The first that is reached ends the search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int = Field(8, ge=1, description="Jobs, the default hyperparameters' among them")
    hours: float | None = Field(
        None, gt=0, description="While a run works on it; then running trials are stopped"
    )
    money: Decimal | None = Field(
        None, gt=0, description="Of jobs that this search begins, by estimate or bill"
    )
    currency: str = Field("USD", pattern="^[A-Z]{3}$")


class SearchPlan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    space: SearchSpace
    training: TrainingPlan = Field(
        TrainingPlan(), description="What every trial shares; trial 0 trains exactly this"
    )
    sampler: Literal["tpe", "random"] = Field("tpe", description="TPE learns from earlier trials")
    startup_trials: int = Field(4, ge=1, description="Random trials before TPE begins to learn")
    seed: int = Field(0, ge=0, description="Of the draws; the seed of training is the training plan's")
    pruning: Pruning = Pruning()
    objective: Objective = Objective()
    budget: SearchBudget = SearchBudget()
    parallel: int = Field(1, ge=1, le=64, description="Trials at a time")
    confirm: Annotated[int, Field(ge=0, le=20)] = Field(
        0,
        description="Train the best and the default with so many more seeds each, to tell a gain from noise; 0 or 2 and more",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.pruning.kind != "none" and self.objective.metric != VALIDATION_LOSS:
            raise ValueError(
                f"Pruning compares validation losses on the way; use the objective {VALIDATION_LOSS}, or no pruning"
            )
        if self.pruning.kind != "none" and not self.objective.minimized:
            raise ValueError(
                "Pruning keeps the lowest validation losses; minimize the objective, or use no pruning"
            )
        if self.confirm == 1:
            raise ValueError("One more seed tells nothing of the noise; use confirm 2 or more, or 0")
        return self

    def search_id(self, dataset_id: str) -> str:
        """Equal plans on one dataset are one search."""
        content = json.dumps([dataset_id, self.model_dump(mode="json")], sort_keys=True)
        return f"search-{sha256(content.encode()).hexdigest()[:16]}"
