"""What a canary is allowed to do and what it must show. Every number is the owner's choice."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gateway_tuning.errors import ConfigurationError

MetricName = Literal["error_rate", "latency", "user_feedback", "token_count", "relevance"]
METRICS: tuple[MetricName, ...] = get_args(MetricName)

_OTHER_NAMES: dict[str, MetricName] = {"latencyms": "latency", "relevancescore": "relevance"}
_TIME_SPAN = re.compile(r"(\d+)\.(\d{1,2}:.*)")  # days.hours:minutes:seconds


class MetricMargins(BaseModel):
    """Non-inferiority margins: the largest harm that is still acceptable, canary minus control."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error_rate: float = Field(0.005, gt=0, lt=1, description="More errors, as a share of requests")
    latency: float = Field(0.10, gt=0, description="Longer answers in time, relative (0.10 = 10 %)")
    slow_share: float = Field(
        0.025,
        gt=0,
        lt=1,
        description="More requests slower than 95 % of the control's, as a share: beyond it the canary is taken back",
    )
    user_feedback: float = Field(
        0.03, gt=0, lt=1, description="Fewer positive ratings, as a share of ratings"
    )
    token_count: float = Field(0.15, gt=0, description="More tokens in an answer, relative")
    relevance: float = Field(0.02, gt=0, lt=1, description="Lower mean relevance, on its scale from 0 to 1")
    feedback_rate: float = Field(
        0.20,
        gt=0,
        lt=1,
        description="Ratings a request, relative, in either direction: beyond it nothing goes up",
    )


class MetricWeights(BaseModel):
    """Weights of the displayed score; only their proportions count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error_rate: float = Field(0.30, ge=0, allow_inf_nan=False)
    latency: float = Field(0.15, ge=0, allow_inf_nan=False)
    user_feedback: float = Field(0.40, ge=0, allow_inf_nan=False)
    token_count: float = Field(0.05, ge=0, allow_inf_nan=False)
    relevance: float = Field(0.10, ge=0, allow_inf_nan=False)


class CanaryPolicy(BaseModel):
    """Defaults suit live traffic; a demo with simulated users states its own, wider figures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stages: tuple[float, ...] = Field(
        (0.01, 0.05, 0.10, 0.25, 0.50),
        description="Share of users on the canary, rising; the last one decides",
    )
    stage_seconds: float = Field(86400, ge=0, description="Shortest time a stage lasts: a daily cycle")
    stage_max_seconds: float | None = Field(
        None,
        gt=0,
        description="After this in one stage the canary is inconclusive; absent: only max_seconds counts",
    )
    max_seconds: float = Field(14 * 86400, gt=0, description="After this an undecided canary is inconclusive")
    stale_seconds: float = Field(7200, gt=0, description="No canary outcome for so long stops every advance")
    approve_before: tuple[float, ...] = Field(
        (), description="Shares that a person must approve first, each a stage or 1, the promotion"
    )
    metrics_to_monitor: tuple[MetricName, ...] = Field(
        METRICS, min_length=1, description="Each of them must be shown to be within its margin"
    )
    min_users: int = Field(50, ge=2, description="Users in each arm before anything but an abort is decided")
    min_requests: int = Field(500, ge=0, description="Requests in each arm before the error rate may pass")
    min_rated_users: int = Field(300, ge=2, description="Users with a rating in each arm before promotion")
    min_scored_users: int = Field(
        200, ge=2, description="Users with a scored answer in each arm before relevance may pass"
    )
    failed_request_seconds: float = Field(
        60, gt=0, description="Latency a failed request counts as at least: the gateway's request timeout"
    )
    margins: MetricMargins = MetricMargins()
    weights: MetricWeights = MetricWeights()
    promotion_threshold: float = Field(
        0.95, ge=0, le=1, description="Least score for a promotion, beside every metric within its margin"
    )
    alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="Chance that a version as bad as a margin is promoted, over all looks together",
    )
    abort_alpha: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="Chance that an unchanged version is taken back, over all looks and metrics together",
    )

    @model_validator(mode="after")
    def _stages_rise_to_at_most_half(self) -> "CanaryPolicy":
        rising = all(a < b for a, b in zip(self.stages, self.stages[1:], strict=False))
        if not self.stages or not rising or self.stages[0] <= 0 or self.stages[-1] > 0.5:  # noqa: PLR2004 - said below
            raise ValueError(
                f"stages {self.stages} must rise, begin above 0 and end at 0.5 or below: "
                "the control group is as large as the canary"
            )
        return self

    @model_validator(mode="after")
    def _approvals_are_of_stages(self) -> "CanaryPolicy":
        unknown = [share for share in self.approve_before if share not in (*self.stages, 1.0)]
        if unknown:
            raise ValueError(
                f"approve_before {unknown} must be among the stages {self.stages} or 1, the promotion"
            )
        return self

    @model_validator(mode="after")
    def _has_a_score(self) -> "CanaryPolicy":
        if len(set(self.metrics_to_monitor)) < len(self.metrics_to_monitor):
            raise ValueError(f"metrics_to_monitor {self.metrics_to_monitor} names a metric twice")
        if not sum(getattr(self.weights, name) for name in self.metrics_to_monitor) > 0:
            raise ValueError(
                f"weights of {', '.join(self.metrics_to_monitor)} are all 0: give one of them a weight above 0"
            )
        return self


@dataclass(frozen=True, slots=True)
class CanaryConfiguration:
    """A policy and the deployment it compares with; None where the configuration named none."""

    policy: CanaryPolicy
    baseline: str | None


def metric_name(given: str) -> MetricName:
    """`ErrorRate`, `model.latency_ms` and `relevance_score` are understood too. Raises ConfigurationError."""
    bare = re.sub(r"[^a-z]", "", given.rpartition(".")[2].lower())
    known = {name.replace("_", ""): name for name in METRICS} | _OTHER_NAMES
    if bare not in known:
        raise ConfigurationError(f"{given} is no metric; there are: {', '.join(METRICS)}")
    return known[bare]


def _time_span(given: Any) -> Any:
    found = _TIME_SPAN.fullmatch(given) if isinstance(given, str) else None
    return f"{found[1]} days, {found[2]}" if found else given


class _Configuration(BaseModel):
    model_config = ConfigDict(extra="forbid")

    InitialPercentage: int = Field(10, ge=1, le=50)
    EvaluationPeriod: Annotated[timedelta, BeforeValidator(_time_span)] = Field(
        timedelta(hours=1), ge=timedelta(0)
    )
    PromotionThreshold: float = Field(0.95, ge=0, le=1)
    BaselineDeploymentId: str | None = None
    MetricsToMonitor: list[str] = []


def policy_from_configuration(
    configuration: Mapping[str, Any], base: CanaryPolicy | None = None
) -> CanaryConfiguration:
    """Read a configuration with the keys of `_Configuration`; what they do not say is the base's.

    Defaults are InitialPercentage 10, EvaluationPeriod one hour, PromotionThreshold 0.95 and an empty MetricsToMonitor,
    which means those of the base. The stages are the first percentage and those of the base above it; the period, `1.00:00:00`, `01:00:00`, `PT1H` or
    seconds, is the shortest time of each.

    Raises:
        ConfigurationError: another key, an unknown metric, or a figure out of range.
    """
    base = base or CanaryPolicy()
    try:
        read = _Configuration.model_validate(dict(configuration))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        known = ", ".join(_Configuration.model_fields)
        raise ConfigurationError(
            f"canary configuration: {name}: {first['msg']} (understood: {known})"
        ) from error
    lowest = read.InitialPercentage / 100
    stages = (lowest, *(share for share in base.stages if share > lowest))
    changes: dict[str, Any] = {
        "stages": stages,
        "stage_seconds": read.EvaluationPeriod.total_seconds(),
        "promotion_threshold": read.PromotionThreshold,
        "approve_before": tuple(share for share in base.approve_before if share in (*stages, 1.0)),
    }
    if read.MetricsToMonitor:
        changes["metrics_to_monitor"] = tuple(metric_name(name) for name in read.MetricsToMonitor)
    policy = CanaryPolicy.model_validate(base.model_dump() | changes)
    return CanaryConfiguration(policy, read.BaselineDeploymentId)
