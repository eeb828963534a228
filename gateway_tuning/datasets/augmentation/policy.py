"""How examples of the train split are augmented. Part of the recipe: equal policies make equal datasets. Pure."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway_tuning.datasets.example import ExampleKind

NOISE, PARAPHRASE = "noise", "paraphrase"
LEAST_SIMILARITY = 0.2
"""Below, signatures of 128 permutations cannot tell what is similar: see `held_out`."""

_TOLERANCE = 1e-9


class AugmenterShare(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        description="As in the catalogue: noise"
    )
    share: float = Field(1.0, gt=0, le=1, description="Of the variants that are asked for")


class ParaphraseEndpoint(BaseModel):
    """An OpenAI-compatible endpoint. It names the variable that holds the key, and never the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(description="Ends in /v1, as a rule")
    model: str = Field(min_length=1, description="Name of the model there")
    api_key_env: str | None = Field(
        None,
        pattern=r"^[A-Z][A-Z0-9_]{0,99}$",
        description="Environment variable with the key; none where the server asks for none",
    )
    temperature: float = Field(
        0.7, ge=0, le=2, description="Higher: further from the prompt, more is refused"
    )

    @field_validator("base_url")
    @classmethod
    def _is_an_address_without_secrets(cls, base_url: str) -> str:
        try:
            parts = urlsplit(base_url)
        except ValueError as error:
            raise ValueError(f"base_url is no address ({error}); write it as https://host/v1") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("base_url needs http:// or https:// and a host, as in https://host/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "base_url holds credentials or a query, and the recipe is stored; name the key's variable in api_key_env"
            )
        return base_url


class AugmentationPolicy(BaseModel):
    """Off until augmenters are named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    augmenters: tuple[AugmenterShare, ...] = Field(
        (), description="Who makes variants, and its share of them; shares sum to 1. None: no augmentation"
    )
    factor: float = Field(
        1.0,
        ge=0,
        le=10,
        description="Most augmented examples for each example of the train split that is of these kinds",
    )
    kinds: tuple[ExampleKind, ...] = Field(
        (ExampleKind.DEMONSTRATION,), min_length=1, description="Kinds of examples that are augmented"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Another seed makes other variants")
    max_similarity_to_test: float = Field(
        0.5,
        ge=LEAST_SIMILARITY,
        le=1,
        description="Jaccard index of word 3-grams with a test or validation prompt at which a variant is left out",
    )
    noise_rate: float = Field(
        0.1, gt=0, le=0.5, description="Most slips of the augmenter noise for each word; one in any case"
    )
    paraphrase: ParaphraseEndpoint | None = Field(None, description="Whom the augmenter paraphrase asks")

    @field_validator("kinds")
    @classmethod
    def _sort_kinds(cls, kinds: tuple[ExampleKind, ...]) -> tuple[ExampleKind, ...]:
        return tuple(sorted(set(kinds)))

    @field_validator("augmenters")
    @classmethod
    def _share_all(cls, augmenters: tuple[AugmenterShare, ...]) -> tuple[AugmenterShare, ...]:
        names = [one.name for one in augmenters]
        if len(set(names)) != len(names):
            raise ValueError(f"augmenters {', '.join(names)}: name each once")
        total = sum(one.share for one in augmenters)
        if augmenters and abs(total - 1) > _TOLERANCE:
            raise ValueError(f"shares of {', '.join(names)} sum to {total:g}; let them sum to 1")
        return tuple(sorted(augmenters, key=lambda one: one.name))

    @model_validator(mode="after")
    def _knows_whom_to_ask(self) -> "AugmentationPolicy":
        asks = PARAPHRASE in {one.name for one in self.augmenters}
        if asks and self.paraphrase is None:
            raise ValueError(
                "the augmenter paraphrase asks an endpoint; give its base_url and model as paraphrase"
            )
        return self

    @property
    def is_on(self) -> bool:
        return bool(self.augmenters) and self.factor > 0
