"""How windows are compared; the form of a flow parameter."""

from pydantic import BaseModel, ConfigDict, Field


class DriftSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    min_rows: int = Field(100, ge=2, description="Rows that each window needs; below it nothing is concluded")
    min_psi: float = Field(
        0.1, gt=0, description="Smallest PSI, beyond what chance gives, that counts as drift"
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="Chance of any false alarm in one check")
    permutations: int = Field(1_999, ge=199, description="Shuffles behind each p-value")
    words: int = Field(200, ge=10, description="Most frequent words that are told apart; the others are one")
    seed: int = Field(0, ge=0, description="Of the shuffles")
