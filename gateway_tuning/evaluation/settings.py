"""How a candidate is compared; the form of a flow parameter."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Facet = Literal["topic", "language", "segment", "length", "feedback_type"]


class JudgeSettings(BaseModel):
    """A model that says which of two answers is better. Nobody is asked where this is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(description="OpenAI-compatible endpoint, ends in /v1")
    model: str = Field(
        min_length=1, description="The judge's name there; best from another family than the candidate"
    )
    api_key_env: str | None = Field(None, description="Environment variable that holds the key")
    rubric: str | None = Field(None, description="What makes an answer good; a general one when left out")
    max_pairs: int = Field(200, ge=1, description="A fixed choice by seed where there are more")
    max_tokens: int = Field(
        2_048, ge=16, description="Longest reply, in tokens; a model that thinks first does so within them"
    )
    input_price: float | None = Field(
        None, ge=0, description="Of a million tokens read; unknown when left out"
    )
    output_price: float | None = Field(None, ge=0, description="Of a million tokens written")
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    max_cost: float | None = Field(
        None, gt=0, description="Nothing more is asked above it; needs both prices"
    )


class EvaluationSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    max_examples: int = Field(200, ge=1, description="A fixed choice by seed where the split has more")
    max_tokens: int = Field(96, ge=1, description="Longest answer, in tokens of the model")
    concurrency: int = Field(4, ge=1, description="Requests under way at a time, all systems together")
    timeout_s: float = Field(60.0, gt=0, description="Longest wait for one answer")
    level: float = Field(0.95, gt=0.5, lt=1, description="Level of the intervals")
    resamples: int = Field(10_000, ge=1_000, description="Bootstrap samples and permutations")
    seed: int = Field(0, ge=0, description="Of the choice of examples, the answers and the statistics")
    similarity_threshold: float = Field(0.7, ge=0, lt=1, description="An answer above it counts as right")
    max_baseline_failures: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Share of failed answers of the stable model above which nothing is compared",
    )
    metrics: tuple[str, ...] = Field((), description="Scorers by name; those of the default set when empty")
    primary: str = Field("similarity", description="The metric that the gate decides on")
    slices: tuple[Facet, ...] = Field(
        ("feedback_type", "language", "length"), description="What figures are told apart by"
    )
    include_base: bool = Field(False, description="Ask the untuned base model too, where it is served")
    probes: int = Field(
        0,
        ge=0,
        description="Prompts asked once more by a user who insists on a wrong answer, at most one a conversation",
    )
    judge: JudgeSettings | None = Field(None, description="Let a model compare the answers")
