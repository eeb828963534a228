"""Families of base models that Bedrock tunes on text: their file format and hyperparameters. Pure.

Ranges: docs.aws.amazon.com/bedrock/latest/userguide/custom-models-hp.html, read 2026-11-26.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.datasets.formats import FORMATS
from gateway_tuning.datasets.formats.format import Format
from gateway_tuning.errors import ProviderError

Epochs = Annotated[int, Field(ge=1, le=10)]


class Nova(BaseModel):
    model_config = ConfigDict(extra="forbid")

    epochCount: Annotated[int, Field(ge=1, le=5)] = 2  # noqa: N815 - the service's names, here and below
    learningRate: Annotated[float, Field(ge=1e-6, le=1e-4)] = 1e-5  # noqa: N815
    learningRateWarmupSteps: Annotated[int, Field(ge=0, le=100)] = 10  # noqa: N815


class Llama(BaseModel):
    model_config = ConfigDict(extra="forbid")

    epochCount: Epochs = 5  # noqa: N815
    batchSize: Annotated[int, Field(ge=1, le=1)] = 1  # noqa: N815
    learningRate: Annotated[float, Field(ge=5e-6, le=0.1)] = 1e-4  # noqa: N815


class Claude(BaseModel):
    model_config = ConfigDict(extra="forbid")

    epochCount: Epochs = 2  # noqa: N815
    batchSize: Annotated[int, Field(ge=4, le=256)] = 32  # noqa: N815
    learningRateMultiplier: Annotated[float, Field(ge=0.1, le=2)] = 1  # noqa: N815
    earlyStoppingThreshold: Annotated[float, Field(ge=0, le=0.1)] = 0.001  # noqa: N815
    earlyStoppingPatience: Annotated[int, Field(ge=1, le=10)] = 2  # noqa: N815


@dataclass(frozen=True, slots=True)
class Family:
    """`word` stands in the id of every base model of the family, and of no other."""

    word: str
    format_name: str
    hyperparameters: type[BaseModel]

    @property
    def format(self) -> Format:
        return FORMATS[self.format_name]


NOVA = Family("amazon.nova-", "bedrock-nova", Nova)
FAMILIES = (
    NOVA,
    Family("anthropic.claude-3-haiku", "bedrock-claude", Claude),
    Family("meta.llama3-1-", "bedrock-llama", Llama),
    Family("meta.llama3-2-", "bedrock-llama-converse", Llama),
    Family("meta.llama3-3-", "bedrock-llama-converse", Llama),
)
_NOT_TEXT = re.compile(r"amazon\.nova-(?:canvas|reel|sonic)")


def family_of(base_model: str) -> Family:
    """By the id of a foundation model, or the ARN of one or of a custom model made of it.

    Raises:
        ProviderError: no family that Bedrock tunes on text has it.
    """
    if not _NOT_TEXT.search(base_model):
        for family in FAMILIES:
            if family.word in base_model:
                return family
    raise ProviderError(
        f"Bedrock tunes no base model {base_model!r} on text; use an id that has one of: "
        f"{', '.join(family.word for family in FAMILIES)}"
    )


def as_strings(hyperparameters: Mapping[str, Any]) -> dict[str, str]:
    """As the service takes them: without an exponent, and 2.0 as 2."""
    return {name: format(Decimal(repr(value)).normalize(), "f") for name, value in hyperparameters.items()}
