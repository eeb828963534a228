"""How far feedback is trusted before it may train a model."""

from pydantic import BaseModel, ConfigDict, Field


class TrustPolicy(BaseModel):
    """Caps on anybody's weight in a training set, and what counts as a burst."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_user_share: float = Field(
        0.01, gt=0, le=1, description="Largest share of the kept records that one user may give"
    )
    min_records_a_user: int = Field(
        10,
        ge=1,
        description=(
            "Records a user may give whatever their share: with fewer than 1 / max_user_share users nobody could "
            "stay under it. Raise it for a small panel of known raters"
        ),
    )
    max_tenant_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Largest share of the kept records that one tenant may give; acts where a set pools several",
    )
    min_records_a_tenant: int = Field(
        100, ge=1, description="Records a tenant may give whatever their share, where a set pools several"
    )
    min_burst_accounts: int = Field(
        8, ge=3, description="Accounts that must share a phrase or text before it can be a burst"
    )
    min_burst_evidence: float = Field(
        10.0,
        gt=0,
        description=(
            "How far votes, accounts and times of a burst are from those of all other records, in nats; by chance "
            "about exp(-evidence) of the shared phrases get there"
        ),
    )
    min_one_way: float = Field(
        0.9, gt=0.5, le=1, description="Share of a burst's records that must push the same way"
    )
    house_share: float = Field(
        0.03,
        gt=0,
        le=1,
        description=(
            "A phrase in more than this share of the records may be how people speak here: where new accounts are "
            "nothing rare, it is a burst only when accounts, times and texts all say so"
        ),
    )
    max_records_of_a_new_account: int = Field(
        5, ge=1, description="An account is new with at most so many records, all of them in the burst"
    )
