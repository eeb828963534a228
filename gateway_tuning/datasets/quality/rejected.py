"""Examples that were left out, each with its reason, as a Parquet beside the splits.

Texts are anonymized by then. Subjects and feedback are named so that an erasure finds them here too.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gateway_tuning.datasets.example import Example, ExampleKind
from gateway_tuning.datasets.quality.filters import Reason
from gateway_tuning.errors import IntegrityError

SCHEMA_VERSION = 1
SCHEMA = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("by", pa.string()),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("rejected_answer", pa.string()),
        pa.field("feedback_ids", pa.list_(pa.string()), nullable=False),
        pa.field("subject_ids", pa.list_(pa.string()), nullable=False),
    ],
    metadata={"schema_version": str(SCHEMA_VERSION)},
)


@dataclass(frozen=True, slots=True)
class Rejected:
    """`by` is the example that stays in its place, or the evaluation set (name@version); None where neither speaks.

    `stage` is `filters`, `contamination`, `duplicates` or `balance`; `code` is counted and `reason` explains.
    `subject_ids` and `feedback_ids` are as in `Example`, of everybody whose feedback it was made of.
    """

    example_id: str
    kind: ExampleKind
    stage: str
    code: str
    reason: str
    by: str | None
    prompt: str
    answer: str
    rejected_answer: str | None
    feedback_ids: tuple[str, ...]
    subject_ids: tuple[str, ...]


def rejected(example: Example, stage: str, reason: Reason, *, by: str | None = None) -> Rejected:
    return Rejected(
        example_id=example.id,
        kind=example.kind,
        stage=stage,
        code=reason.code,
        reason=reason.text,
        by=by,
        prompt=example.prompt,
        answer=example.answer,
        rejected_answer=example.rejected,
        feedback_ids=example.feedback_ids,
        subject_ids=example.subject_ids,
    )


def encode(every: Iterable[Rejected]) -> bytes:
    """Ordered by example: the same ones give the same bytes under one version of pyarrow.

    A lone surrogate, which a damaged text may hold and UTF-8 cannot, is written as U+FFFD.
    """
    ordered = sorted(every, key=lambda one: (one.example_id, one.stage, one.code))
    rows = [_row(one) for one in ordered]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink, compression="zstd", compression_level=3)
    return sink.getvalue()


def decode(data: bytes) -> list[Rejected]:
    """Raises IntegrityError where the bytes are no Parquet of this schema."""
    try:
        table = pq.read_table(io.BytesIO(data))
        return [_rejected(row) for row in table.select(SCHEMA.names).to_pylist()]
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise IntegrityError(
            f"Not a Parquet of rejected examples ({type(error).__name__}: {error}); build the dataset again"
        ) from error


def without_subjects(every: Sequence[Rejected], erased: frozenset[str]) -> list[Rejected]:
    """What is left once these subjects are gone: whatever was made of anybody's feedback among them goes whole."""
    return [one for one in every if not erased.intersection(one.subject_ids)]


def _row(one: Rejected) -> dict[str, Any]:
    row = {name: getattr(one, name) for name in SCHEMA.names}
    texts = {name: _encodable(row[name]) for name in ("reason", "prompt", "answer", "rejected_answer")}
    return row | texts | {"kind": one.kind.value}


def _rejected(row: dict[str, Any]) -> Rejected:
    found = Rejected(**row)
    return replace(
        found,
        kind=ExampleKind(row["kind"]),
        feedback_ids=tuple(row["feedback_ids"]),
        subject_ids=tuple(row["subject_ids"]),
    )


def _encodable(text: str | None) -> str | None:
    if text is None or text.isascii():
        return text
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
