"""What was used and what it cost. A price that is not known is absent, with a note that says why. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

TRAINING = "training"


@dataclass(frozen=True, slots=True)
class CostEntry:
    """`id` is of what it is for: the job's key. `amount` None is unknown, never free.

    `expected` is what it was estimated to cost; the store tells it, and takes it from nobody.
    """

    id: str
    tenant: str
    purpose: str
    object_id: str
    provider: str
    created_at: datetime
    note: str
    amount: Decimal | None = None
    currency: str | None = None
    usage: dict[str, float] = field(default_factory=dict)
    expected: Decimal | None = None
