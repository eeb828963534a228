"""The plan of a tuning cycle: every business choice in one form, as the Prefect UI shows it."""

from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.model_version import MODEL_NAME
from gateway_tuning.rollout.gate import GatePolicy
from gateway_tuning.rollout.policy import CanaryPolicy


class TrainingPlan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str = Field("llama", description="Training provider, see `gateway-tuning providers`")
    base_model: str = Field("SmolLM2-135M-Instruct", description="The provider's name of the model to tune")
    method: str = Field("supervised", description="How to tune; providers name what they can")
    hyperparameters: dict[str, Any] = Field({}, description="The provider's own; its defaults where empty")
    seed: int = Field(0, ge=0)
    early_stopping_patience: int = Field(
        3,
        ge=0,
        description="Stop after so many checkpoints without a better validation loss, where one can be kept; 0: never",
    )
    early_stopping_min_delta: float = Field(0.0, ge=0, description="What counts as better")
    max_training_hours: float = Field(
        6.0, gt=0, description="A job that has trained for longer is cancelled at its provider"
    )
    max_cost: Decimal | None = Field(
        None, ge=0, description="A job that may cost more is not started; no cap of its own when left out"
    )
    max_cost_currency: str = Field("USD", pattern=r"^[A-Z]{3}$")


class CyclePlan(BaseModel):
    """One pass through the loop for one model behind the gateway."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        "assistant",
        min_length=1,
        max_length=60,
        pattern=MODEL_NAME,
        description="Name that applications ask the gateway for",
    )
    tenant: str = Field("default", min_length=1, max_length=100, description="Whose feedback is used")
    recipe: DatasetRecipe = DatasetRecipe()
    training: TrainingPlan = TrainingPlan()
    evaluation: EvaluationSettings = EvaluationSettings()
    drift: DriftSettings = DriftSettings()
    gate: GatePolicy = GatePolicy()
    canary: CanaryPolicy = CanaryPolicy()
