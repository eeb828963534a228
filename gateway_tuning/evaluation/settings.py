"""How a candidate is compared; the form of a flow parameter."""

from pydantic import BaseModel, ConfigDict, Field


class EvaluationSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    max_examples: int = Field(200, ge=1, description="A fixed choice by seed where the split has more")
    max_tokens: int = Field(96, ge=1, description="Longest answer, in tokens of the model")
    concurrency: int = Field(4, ge=1, description="Requests under way at a time, both systems together")
    timeout_s: float = Field(60.0, gt=0, description="Longest wait for one answer")
    level: float = Field(0.95, gt=0.5, lt=1, description="Level of the intervals")
    resamples: int = Field(10_000, ge=1_000, description="Bootstrap samples")
    seed: int = Field(0, ge=0, description="Of the choice of examples, the answers and the bootstrap")
    similarity_threshold: float = Field(0.7, ge=0, lt=1, description="An answer above it counts as right")
    max_baseline_failures: float = Field(
        0.05, ge=0, lt=1, description="Share of failed baseline answers above which the comparison is invalid"
    )
