"""What a person may put to use of that which was set aside. Pure.

What cannot be read and what could not be anonymized stays where it is, whatever anybody says; so does what is no
usable record. A rule of ours alone, as a limit or what a crowd looks like, may be overruled.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway_tuning.errors import UnacceptableError
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.shaping import shape, short_reason
from gateway_tuning.feedback.validation import may_be_overruled, problems
from gateway_tuning.feedback.versions import Statement, statement


@dataclass(frozen=True, slots=True)
class Reviewable:
    """A row of the quarantine; `raw` is None where the record stands in the store, or its text was not kept."""

    tenant: str
    fingerprint: str
    stage: str
    reasons: Sequence[str]
    raw: str | None
    feedback_id: str | None

    @property
    def is_stored(self) -> bool:
        return self.raw is None and self.feedback_id is not None


def why_unacceptable(entry: Reviewable) -> str | None:
    """What stands against accepting it, as far as the entry itself tells; None where a person may accept it."""
    if entry.stage == "reading":
        return "it cannot be read; correct it where it came from and send it again"
    if entry.stage == "anonymization":
        return "its personal data could not be removed, so its text may go nowhere"
    if entry.stage == "trust":
        return None if entry.feedback_id is not None else "nobody knows which record it was"
    if entry.raw is None:
        return "its text was not kept"
    faults = [reason for reason in entry.reasons if not may_be_overruled(reason)]
    if faults or not entry.reasons:
        return f"it is no usable record ({_told(faults)}); correct it and send it again"
    return None


def refuse_unacceptable(entry: Reviewable) -> None:
    """Raises UnacceptableError with what stands against it."""
    against = why_unacceptable(entry)
    if against is not None:
        raise UnacceptableError(f"{entry.fingerprint} cannot be accepted: {against}")


def statement_of(entry: Reviewable, now: datetime) -> Statement:
    """The record as it would be stored, judged again: other code than ours may have set it aside.

    A record without an id gets one from the fingerprint. Raises UnacceptableError with what stands against it.
    """
    record = _record(entry)
    found = problems(record, now=now)
    # A time to come would outdo whatever is said until then.
    against = [told for told in found if not may_be_overruled(told) or "in the future" in told]
    if record.tenant != entry.tenant:
        against.append("Belongs to another tenant")
    if against:
        raise UnacceptableError(f"{entry.fingerprint} cannot be accepted: {_told(against)}")
    return statement(record)


def _record(entry: Reviewable) -> FeedbackRecord:
    values = json.loads(entry.raw or "null")
    if isinstance(values, dict):
        own_id = values.get("id") or f"reviewed-{entry.fingerprint[:32]}"
        shaped = shape({"tenant": entry.tenant, **values, "id": own_id}, unknown=set())
        if shaped.record is not None and not shaped.faults:
            return shaped.record
        faults = shaped.faults
    else:
        faults = ("Not an object",)
    raise UnacceptableError(
        f"{entry.fingerprint} cannot be accepted: as it is kept it has not the shape of a record ({_told(faults)}); "
        "correct it, or the mapping of its import, and send it again"
    )


def _told(reasons: Sequence[str]) -> str:
    return "; ".join(map(short_reason, reasons)) or "no reason was kept"
