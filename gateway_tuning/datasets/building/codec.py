"""Anonymized statements and drafts as they lie between two stages: JSON, compressed, a segment a bucket. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa

from gateway_tuning.datasets.draft import Context, Draft, Source
from gateway_tuning.datasets.example import ExampleKind, ToolCall, Turn
from gateway_tuning.datasets.statements import Ballot
from gateway_tuning.errors import IntegrityError
from gateway_tuning.feedback.record import FeedbackType

_LENGTH = 8  # bytes before a segment, for its length unpacked
_LARGEST_RATIO = 1 << 15  # zstd: a block of 128 KiB takes 4 bytes at the least (RFC 8878, 3.1.1.2)


def pack(value: Any) -> bytes:
    """Dataclasses, times and enumerations as orjson writes them."""
    plain = orjson.dumps(value)
    return len(plain).to_bytes(_LENGTH, "big") + bytes(pa.compress(plain, codec="zstd", asbytes=True))


def unpack(segment: bytes) -> Any:
    """Raises IntegrityError for a segment that was cut off, or changed so that it cannot be read."""
    length = int.from_bytes(segment[:_LENGTH], "big")
    length = min(length, len(segment) * _LARGEST_RATIO)  # the memory that a damaged length asks for
    try:
        return orjson.loads(
            pa.decompress(segment[_LENGTH:], decompressed_size=length, codec="zstd", asbytes=True)
        )
    except (ValueError, OSError, pa.ArrowException) as error:
        raise IntegrityError(
            f"An object of a build in progress is damaged ({type(error).__name__}); run the build again"
        ) from error


def joined(segments: Iterable[bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    """One object of all segments, and where each stands in it."""
    parts, ranges, start = [], [], 0
    for segment in segments:
        parts.append(segment)
        ranges.append((start, start + len(segment)))
        start += len(segment)
    return b"".join(parts), ranges


def draft_of(row: dict[str, Any]) -> Draft:
    return Draft(
        kind=ExampleKind(row["kind"]),
        context=_context(row["context"]),
        answer=row["answer"],
        rejected=row["rejected"],
        desirable=row["desirable"],
        confidence=row["confidence"],
        corrected=row["corrected"],
        sources=[source_of(source) for source in row["sources"]],
    )


def ballot_of(row: dict[str, Any]) -> Ballot:
    return Ballot(
        _context(row["context"]),
        row["answer"],
        source_of(row["source"]),
        row["rater"],
        row["score"],
        row["shows"],
    )


def source_of(row: dict[str, Any]) -> Source:
    return Source(**row | {"type": FeedbackType(row["type"]), "at": datetime.fromisoformat(row["at"])})


def _context(row: dict[str, Any]) -> Context:
    return Context(tuple(map(_turn, row["messages"])), tuple(row["tools"]))


def _turn(row: dict[str, Any]) -> Turn:
    calls: Sequence[dict[str, Any]] = row["tool_calls"]
    return Turn(row["role"], row["content"], tuple(ToolCall(**call) for call in calls), row["tool_call_id"])
