"""How windows are compared; the form of a flow parameter."""

from pydantic import BaseModel, ConfigDict, Field


class DriftSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    min_rows: int = Field(
        300, ge=2, description="Rows that each window needs before nothing found counts as no drift"
    )
    rows_to_measure: int = Field(100, ge=20, description="Rows below which nothing is measured")
    min_groups: int = Field(
        10, ge=2, description="Users or conversations that each window needs; below it nothing is measured"
    )
    min_psi: float = Field(
        0.1, gt=0, description="Smallest PSI, beyond what chance gives, that counts as drift"
    )
    min_auc: float = Field(
        0.60, gt=0.5, lt=1, description="Smallest AUC of the domain classifier that counts as drift"
    )
    min_share: float = Field(
        0.08,
        gt=0,
        lt=1,
        description="Smallest share of prompts of another kind that counts as drift, as well",
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="Chance of any false alarm in one check")
    permutations: int = Field(1_999, ge=199, description="Shuffles behind each p-value")
    words: int = Field(200, ge=10, description="Most frequent words that are told apart; the others are one")
    topics: int = Field(
        20, ge=2, le=100, description="Topics that are learned on the reference, fewer where it is small"
    )
    max_text_rows: int = Field(
        20_000, ge=500, description="Rows a window whose texts are read: whole users, drawn by the seed"
    )
    seed: int = Field(0, ge=0, description="Of the shuffles and draws")
