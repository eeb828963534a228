"""What can be asked for, as bodies of requests. The tenant is never among it: that is the caller's."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway_tuning.cycles.plan import CyclePlan, TrainingPlan
from gateway_tuning.datasets.recipe import RECIPE_VERSION, DatasetRecipe
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.model_version import MODEL_NAME
from gateway_tuning.rollout.gate import GatePolicy
from gateway_tuning.rollout.policy import METRICS, CanaryPolicy, MetricName, metric_name
from gateway_tuning.runs.prefect_api import refuse_templates
from gateway_tuning.training import catalog

ModelName = Annotated[
    str, Field(min_length=1, max_length=60, pattern=MODEL_NAME, description="Name behind the gateway")
]
VersionId = Annotated[str, Field(min_length=1, max_length=80)]
DatasetId = Annotated[str, Field(min_length=1, max_length=40)]


def _config(**example: Any) -> ConfigDict:
    return ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [example]})


def _buildable(recipe: DatasetRecipe) -> DatasetRecipe:
    if recipe.version != RECIPE_VERSION:
        raise ValueError(f"recipe version {recipe.version} is read and no longer built; use {RECIPE_VERSION}")
    return recipe


def _trainable(training: TrainingPlan) -> TrainingPlan:
    refuse_templates(training.hyperparameters)
    if training.provider not in catalog.names():
        raise ValueError(f"there is no such training provider; there are: {', '.join(catalog.names())}")
    return training


class DatasetRequest(BaseModel):
    model_config = _config(recipe={"max_records": 5000, "test_share": 0.2})

    recipe: DatasetRecipe = DatasetRecipe()
    watermark: int | None = Field(
        None, ge=0, lt=2**63, description="Feedback up to this sequence; all there is when absent"
    )

    _recipe = field_validator("recipe")(_buildable)


class TrainingJobRequest(BaseModel):
    model_config = _config(
        dataset_id="ds-0a1b2c3d4e5f6071",
        model="assistant",
        training={"provider": "llama", "hyperparameters": {"max_steps": 100}},
    )

    dataset_id: DatasetId
    model: ModelName = "assistant"
    training: TrainingPlan = TrainingPlan()

    _training = field_validator("training")(_trainable)


class EvaluationRequest(BaseModel):
    model_config = _config(
        candidate="assistant@4f2e9d1fbd8a",
        baseline="assistant@SmolLM2-135M-Instruct",
        dataset_id="ds-0a1b2c3d4e5f6071",
        settings={"max_examples": 100},
    )

    candidate: VersionId
    baseline: VersionId
    dataset_id: DatasetId = Field(description="Its test split is asked")
    settings: EvaluationSettings = EvaluationSettings()


class DriftCheckRequest(BaseModel):
    model_config = _config(dataset_id="ds-0a1b2c3d4e5f6071", stable="assistant@4f2e9d1fbd8a")

    dataset_id: DatasetId = Field(description="Current window")
    stable: VersionId = Field(description="Version whose dataset is the reference window")
    settings: DriftSettings = DriftSettings()


class TuningCycleRequest(BaseModel):
    """`CyclePlan` without its tenant."""

    model_config = _config(model="assistant", gate={"requires_approval": True})

    model: ModelName = "assistant"
    recipe: DatasetRecipe = DatasetRecipe()
    training: TrainingPlan = TrainingPlan()
    evaluation: EvaluationSettings = EvaluationSettings()
    drift: DriftSettings = DriftSettings()
    gate: GatePolicy = GatePolicy()
    canary: CanaryPolicy = CanaryPolicy()

    _recipe = field_validator("recipe")(_buildable)
    _training = field_validator("training")(_trainable)

    def plan(self, tenant: str) -> CyclePlan:
        return CyclePlan(tenant=tenant, **{name: getattr(self, name) for name in type(self).model_fields})


class CanaryRequest(BaseModel):
    """Understood as well: ModelId, BaselineDeploymentId, and what `policy_from_configuration` reads."""

    model_config = _config(
        model="assistant",
        candidate="assistant@4f2e9d1fbd8a",
        policy={"stages": [0.05, 0.25, 0.5], "stage_seconds": 3600},
    )

    model: ModelName = "assistant"
    candidate: VersionId = Field(validation_alias=AliasChoices("candidate", "ModelId"))
    control: VersionId | None = Field(
        None,
        validation_alias=AliasChoices("control", "BaselineDeploymentId"),
        description="The stable version when absent; no other can be the control",
    )
    policy: CanaryPolicy | None = None
    initial_percentage: int | None = Field(
        None,
        ge=1,
        le=50,
        validation_alias=AliasChoices("initial_percentage", "InitialPercentage"),
        description="First share of users in percent; later stages follow. Instead of policy.stages",
    )
    evaluation_period: timedelta | None = Field(
        None,
        ge=timedelta(0),
        validation_alias=AliasChoices("evaluation_period", "EvaluationPeriod"),
        description="Shortest time a stage lasts, as 01:00:00 or PT1H. Instead of policy.stage_seconds",
    )
    promotion_threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        validation_alias=AliasChoices("promotion_threshold", "PromotionThreshold"),
        description="Least score for a promotion, beside every metric within its margin. Instead of the policy's",
    )
    metrics_to_monitor: tuple[MetricName, ...] = Field(
        (),
        validation_alias=AliasChoices("metrics_to_monitor", "MetricsToMonitor"),
        description=f"Of {', '.join(METRICS)}; those of the policy, which are all of them, when empty",
    )

    @field_validator("metrics_to_monitor", mode="before")
    @classmethod
    def _by_any_of_their_names(cls, names: Any) -> Any:
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            return names
        try:
            return tuple(dict.fromkeys(metric_name(name) for name in names))
        except ConfigurationError as error:  # without what was given
            raise ValueError(f"a metric is not known; there are: {', '.join(METRICS)}") from error

    @model_validator(mode="after")
    def _says_it_once(self) -> "CanaryRequest":
        if self.policy is not None and self._changes:
            raise ValueError(
                "state stages, times, threshold and metrics in policy, or as InitialPercentage, EvaluationPeriod, "
                "PromotionThreshold and MetricsToMonitor, not both"
            )
        return self

    @property
    def resolved_policy(self) -> CanaryPolicy:
        policy = self.policy or CanaryPolicy()
        return CanaryPolicy.model_validate(policy.model_dump() | self._changes)

    @property
    def _changes(self) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if self.initial_percentage is not None:
            first = self.initial_percentage / 100
            changes["stages"] = (first, *(share for share in CanaryPolicy().stages if share > first))
        if self.evaluation_period is not None:
            changes["stage_seconds"] = self.evaluation_period.total_seconds()
        if self.promotion_threshold is not None:
            changes["promotion_threshold"] = self.promotion_threshold
        if self.metrics_to_monitor:
            changes["metrics_to_monitor"] = self.metrics_to_monitor
        return changes
