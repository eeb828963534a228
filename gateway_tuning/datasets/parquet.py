"""Examples as Parquet, with an explicit schema: what is written today can be read in years."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gateway_tuning.datasets.example import Example, ExampleKind, ToolCall, Turn

SCHEMA_VERSION = 3
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field(
            "messages",
            pa.list_(
                pa.struct(
                    [
                        pa.field("role", pa.string(), nullable=False),
                        pa.field("content", pa.string(), nullable=False),
                        pa.field(
                            "tool_calls",
                            pa.list_(
                                pa.struct(
                                    [
                                        pa.field("id", pa.string(), nullable=False),
                                        pa.field("name", pa.string(), nullable=False),
                                        pa.field("arguments", pa.string(), nullable=False),
                                    ]
                                )
                            ),
                            nullable=False,
                        ),
                        pa.field("tool_call_id", pa.string()),
                    ]
                )
            ),
            nullable=False,
        ),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("rejected", pa.string()),
        pa.field("desirable", pa.bool_()),
        pa.field("feedback_ids", pa.list_(pa.string()), nullable=False),
        pa.field("feedback_types", pa.list_(pa.string()), nullable=False),
        pa.field("last_feedback_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("subject_ids", pa.list_(pa.string()), nullable=False),
        pa.field("tools", pa.list_(pa.string()), nullable=False),
        pa.field("confidence", pa.float64()),
        pa.field("augmented_from", pa.string()),
        pa.field("augmented_by", pa.string()),
    ]
)


def encode(examples: Sequence[Example]) -> bytes:
    """The same examples give the same bytes under one version of pyarrow."""
    columns = {name: [getattr(example, name) for example in examples] for name in SCHEMA.names}
    columns["messages"] = [[_plain(turn) for turn in example.messages] for example in examples]
    sink = io.BytesIO()
    pq.write_table(
        pa.Table.from_pydict(columns, schema=SCHEMA), sink, compression="zstd", compression_level=3
    )
    return sink.getvalue()


def rows(data: bytes) -> int:
    """By the file's footer."""
    return int(pq.read_metadata(io.BytesIO(data)).num_rows)


def decode(data: bytes) -> list[Example]:
    """Version 1 named no subjects: its examples have none. Version 2 knew no tools."""
    return [_example(row) for row in pq.read_table(io.BytesIO(data)).to_pylist()]


def _plain(turn: Turn) -> dict[str, Any]:
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in turn.tool_calls]
    return {
        "role": turn.role,
        "content": turn.content,
        "tool_calls": calls,
        "tool_call_id": turn.tool_call_id,
    }


def _example(row: dict[str, Any]) -> Example:
    return Example(
        **row
        | {
            "kind": ExampleKind(row["kind"]),
            "messages": tuple(map(_turn, row["messages"])),
            "feedback_ids": tuple(row["feedback_ids"]),
            "feedback_types": tuple(row["feedback_types"]),
            "subject_ids": tuple(row.get("subject_ids", ())),
            "tools": tuple(row.get("tools", ())),
        }
    )


def _turn(row: dict[str, Any]) -> Turn:
    calls = tuple(ToolCall(**call) for call in row.get("tool_calls", ()))
    return Turn(row["role"], row["content"], calls, row.get("tool_call_id"))
