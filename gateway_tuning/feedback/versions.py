"""A record as it is kept, and the order in which statements under one id win. Pure."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import orjson

from gateway_tuning.feedback.record import FeedbackRecord

NO_REVISION = -1


class Version(NamedTuple):
    """Compared as a tuple, so that any order of arrival ends in the same record."""

    event_time: datetime
    revision: int
    content_hash: str


class Statement(NamedTuple):
    """`content` is JSON with sorted keys, equal for equal records; `content_hash` is its SHA-256 in hex."""

    record: FeedbackRecord
    version: Version
    content: str


def statement(record: FeedbackRecord) -> Statement:
    """Raises ValueError for a time without a zone, or text that is no valid Unicode."""
    if record.timestamp.tzinfo is None:
        raise ValueError(
            f"Feedback {record.id} has a time without a zone; validate records before they are stored"
        )
    if record.timestamp.utcoffset():
        record = record.model_copy(update={"timestamp": record.timestamp.astimezone(UTC)})
    content = _content(record)
    digest = sha256(content).hexdigest()
    revision = NO_REVISION if record.revision is None else record.revision
    return Statement(record, Version(record.timestamp.astimezone(UTC), revision, digest), content.decode())


def content_hash(record: FeedbackRecord) -> str:
    """Equal for equal statements, whichever time zone their time is written in."""
    return statement(record).version.content_hash


def _content(record: FeedbackRecord) -> bytes:
    # What is absent is left out: a field that the record gets one day leaves the hashes of today as they are.
    content = record.model_dump(mode="json", exclude_none=True)
    try:
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"Feedback {record.id!r} cannot be written as JSON: {error}") from error
