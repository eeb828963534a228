"""Everything that an evaluation was told and found, as a table for whoever wants to dig in."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from gateway_tuning.evaluation.scored import ScoredExample

DATASET_METADATA = b"dataset_id"

_FIXED = (
    pa.field("example_id", pa.string(), nullable=False),
    pa.field("group_id", pa.string(), nullable=False),
    pa.field("role", pa.string(), nullable=False),
    pa.field("version", pa.string(), nullable=False),
    pa.field("prompt", pa.string(), nullable=False),
    pa.field("preferred", pa.string(), nullable=False),
    pa.field("answer", pa.string()),
    pa.field("error", pa.string()),
    pa.field("latency_ms", pa.float64(), nullable=False),
    pa.field("prompt_tokens", pa.int64()),
    pa.field("completion_tokens", pa.int64()),
)


def predictions_table(
    scored: Sequence[ScoredExample], metrics: Sequence[str], facets: Sequence[str], *, dataset_id: str
) -> pa.Table:
    """A row an example and role. Its metadata names the dataset that was asked.

    Each metric has the columns `score_NAME` and `notes_NAME`, each facet `facet_NAME`.
    """
    fields = [
        *_FIXED,
        *(pa.field(f"facet_{name}", pa.string()) for name in facets),
        *(
            field
            for name in metrics
            for field in (
                pa.field(f"score_{name}", pa.float64()),
                pa.field(f"notes_{name}", pa.list_(pa.string())),
            )
        ),
    ]
    rows = [_row(one, role, metrics, facets) for one in scored for role in one.answers]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields, metadata={DATASET_METADATA: dataset_id}))


def _row(one: ScoredExample, role: Any, metrics: Sequence[str], facets: Sequence[str]) -> dict[str, Any]:
    answer, scores = one.answers[role], one.scores[role]
    row: dict[str, Any] = {
        "example_id": one.example.id,
        "group_id": one.example.group_id,
        "role": role.value,
        "version": answer.version,
        "prompt": one.example.prompt,
        "preferred": one.example.answer,
        "answer": answer.text,
        "error": answer.error,
        "latency_ms": answer.latency_ms,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
    }
    row |= {f"facet_{name}": one.facets.get(name) for name in facets}
    for name in metrics:
        if name in scores:
            row[f"score_{name}"] = scores[name].value
            row[f"notes_{name}"] = list(scores[name].notes)
    return row
