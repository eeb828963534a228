"""What is set aside, and why."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """A row or record set aside. `raw` is ASCII-escaped JSON, None when the record stands in the store.

    `user_id`, where it is known, is kept as the subject id alone; entries that are read back do not have it.
    """

    tenant: str
    stage: str  # reading, validation, trust, anonymization
    source: str
    position: str
    reasons: tuple[str, ...]
    raw: str | None
    feedback_id: str | None = None
    user_id: str | None = None

    @property
    def fingerprint(self) -> str:
        """The same whenever and wherever the same thing is set aside at the same stage."""
        parts = [self.stage, self.feedback_id, self.raw]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Quarantined:
    entry: QuarantineEntry
    created_at: datetime
