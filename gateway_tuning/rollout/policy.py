"""What a canary is allowed to do and what it must show. Every number is the owner's choice."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class MetricMargins(BaseModel):
    """Non-inferiority margins: the largest harm that is still acceptable, canary minus control."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error_rate: float = Field(0.005, gt=0, lt=1, description="More errors, as a share of requests")
    latency: float = Field(0.10, gt=0, description="Longer answers in time, relative (0.10 = 10 %)")
    user_feedback: float = Field(
        0.03, gt=0, lt=1, description="Fewer positive ratings, as a share of ratings"
    )


class CanaryPolicy(BaseModel):
    """Defaults suit live traffic; a demo with simulated users states its own, wider figures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stages: tuple[float, ...] = Field(
        (0.01, 0.05, 0.10, 0.25, 0.50),
        description="Share of users on the canary, rising; the last one decides",
    )
    stage_seconds: float = Field(3600, ge=0, description="Shortest time a stage lasts")
    max_seconds: float = Field(14 * 86400, gt=0, description="After this an undecided canary is inconclusive")
    stale_seconds: float = Field(7200, gt=0, description="No canary outcome for so long stops every advance")
    min_users: int = Field(50, ge=2, description="Users in each arm before anything but an abort is decided")
    min_rated_users: int = Field(300, ge=2, description="Users with a rating in each arm before promotion")
    failed_request_seconds: float = Field(
        60, gt=0, description="Latency a failed request counts as at least: the gateway's request timeout"
    )
    margins: MetricMargins = MetricMargins()
    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="Error rate of each decision, over all looks together"
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
