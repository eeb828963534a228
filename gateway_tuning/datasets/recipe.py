"""What a dataset is made with. The recipe is part of the dataset's identity."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.datasets.augmentation.policy import AugmentationPolicy
from gateway_tuning.datasets.quality.policy import QualityPolicy
from gateway_tuning.datasets.reformulations import MiningPolicy
from gateway_tuning.feedback.record import FeedbackType
from gateway_tuning.feedback.trust_policy import TrustPolicy

# Raise when trust, selection, splitting or anonymization changes what comes out: old datasets then keep their ids.
RECIPE_VERSION: Literal[3] = 3


class DatasetRecipe(BaseModel):
    """Which feedback is used, what is done to it and how it is split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1, 2, 3] = Field(
        RECIPE_VERSION,
        description=(
            "How datasets are made; earlier ones are read and no longer built. 1 knew neither trust nor majorities, "
            "2 neither near-duplicates nor undeclared reformulations"
        ),
    )
    max_records: int = Field(10_000, ge=1, description="Newest feedback records taken at most")
    since: datetime | None = Field(None, description="Only feedback given at or after this time")
    types: tuple[FeedbackType, ...] | None = Field(
        None, description="Only these feedback types; all when empty"
    )
    validation_share: float = Field(0.10, ge=0, lt=1, description="Share of groups held out for validation")
    test_share: float = Field(0.15, gt=0, lt=1, description="Share of groups held out for evaluation")
    max_pairs_per_prompt: int = Field(
        10, ge=0, description="Preference pairs from rival answers to one prompt"
    )
    min_rating_gap: float = Field(
        0.5, gt=0, le=2, description="Smallest difference of mean ratings that makes a preference pair"
    )
    anonymization: AnonymizationPolicy = Field(
        AnonymizationPolicy(), description="What is done with each kind of personal data"
    )
    block_records: int = Field(
        20_000,
        ge=100,
        description="Feedback records that one job works on: what it holds in memory at a time",
    )
    quality: QualityPolicy = Field(QualityPolicy(), description="What keeps an example out of training")
    evaluation_sets: tuple[str, ...] = Field(
        (), description="Registered evaluation sets (name@version) that no example may hold texts of"
    )
    mining: MiningPolicy = Field(
        MiningPolicy(), description="When two questions of a user are taken for one in other words"
    )
    augmentation: AugmentationPolicy = Field(
        AugmentationPolicy(), description="What is added to the train split, and by whom; nothing by default"
    )
    trust: TrustPolicy = Field(
        TrustPolicy(), description="Caps on anybody's weight, and what counts as a burst"
    )

    @model_validator(mode="after")
    def _leaves_room_for_training(self) -> "DatasetRecipe":
        if self.validation_share + self.test_share > 0.9:  # noqa: PLR2004 - said below
            raise ValueError(
                f"validation_share {self.validation_share} and test_share {self.test_share} leave less than "
                "10 % for training; lower one of them"
            )
        return self
