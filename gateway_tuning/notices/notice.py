"""What people are told of. Names, ids and figures alone: no notice quotes what a user wrote. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

_LONGEST_LINE = 300
_MOST_LINES = 6


class Severity(StrEnum):
    INFORMATION = "information"
    WARNING = "warning"
    ALARM = "alarm"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Kind(StrEnum):
    NOTICES = "notices"  # that they begin
    GATE = "gate"
    CANARY = "canary"
    APPROVAL = "approval"
    COST = "cost"
    FAILURE = "failure"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Notice:
    """`id` is of what happened, so that it is told once however often it is noticed. `body` is Markdown."""

    id: str
    tenant: str
    kind: Kind
    severity: Severity
    subject: str
    body: str
    object_id: str | None = None


def notice_id(*happened: str) -> str:
    return sha256("\x1f".join(happened).encode()).hexdigest()[:32]


def listed(reasons: Sequence[str]) -> str:
    """As a Markdown list, cut to what a message holds.

    What is found of drift names words of users' prompts; its state alone is told.
    """
    told = [_without_words(reason)[:_LONGEST_LINE] for reason in reasons[:_MOST_LINES]]
    if len(reasons) > _MOST_LINES:
        told.append(f"and {len(reasons) - _MOST_LINES} more")
    return "\n".join(f"- {one}" for one in told)


def _without_words(reason: str) -> str:
    return reason.partition(" (")[0] if reason.startswith("drift: ") else reason
