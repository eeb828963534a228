"""What follows drift, and what is looked at in live use; the form of a flow parameter."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

OnDrift = Literal["note", "start_cycle", "ask"]


class LiveDriftPolicy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    on_drift: OnDrift = Field(
        "note",
        description=(
            "What follows drift. note: the report alone. start_cycle: a tuning cycle, with the plan of the last one. "
            "ask: an approval, which starts that cycle once it is granted"
        ),
    )
    window_days: float = Field(
        7.0,
        gt=0,
        le=366,
        description="How far back what users ask now reaches, and how long a window of traffic is",
    )
    max_records: int = Field(
        5_000, ge=100, description="Newest feedback records of the window that are read at most"
    )
    max_requests: int = Field(
        200_000, ge=100, description="Newest requests of each window of traffic that are read at most"
    )
