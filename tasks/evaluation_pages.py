"""The stored page of an evaluation: written when it ends, and once more with what the gate made of it."""

import io
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq

from gateway_tuning.datasets.retired import is_retired
from gateway_tuning.errors import NotFoundError
from gateway_tuning.evaluation.history import past_evaluations
from gateway_tuning.evaluation.measures import MEASURES
from gateway_tuning.evaluation.result import EvaluationResult, read_result
from gateway_tuning.evaluation.store import StoredEvaluation
from gateway_tuning.rollout.gate import GateDecision
from gateway_tuning.storage import layout
from gateway_tuning.storage.database import reading
from tasks.runtime import Runtime

if TYPE_CHECKING:
    import pyarrow as pa

PREDICTIONS, REPORT = "predictions.parquet", "report.html"


def title_of(stored: StoredEvaluation) -> str:
    return f"{stored.candidate} against {stored.baseline}"


def write_page(rt: Runtime, stored: StoredEvaluation, gate: GateDecision | None = None) -> None:
    """From the record and the predictions alone, so that it is the same whenever it is written.

    Raises:
        NotFoundError: the predictions are gone, with the dataset that they were made on.
    """
    from gateway_tuning.evaluation.reporting.page import render_html

    table = pq.read_table(io.BytesIO(rt.objects.read(layout.evaluation_file(stored.id, PREDICTIONS))))
    result = read_result(stored.result)
    page = render_html(
        result,
        title=title_of(stored),
        subtitle=f"Test split of {stored.dataset_id}, {stored.created_at:%Y-%m-%d %H:%M} UTC",
        gate=gate,
        scores=_scores(table, result),
        history=[
            one for one in past_evaluations(rt.engine, stored.model) if one.created_at < stored.created_at
        ],
    )
    rt.objects.write(layout.evaluation_file(stored.id, REPORT), page.encode())


def show_gate(rt: Runtime, stored: StoredEvaluation, decision: GateDecision) -> None:
    """Write the page again with the decision. Of an erased dataset there is no page, and none comes back."""
    try:
        write_page(rt, stored, decision)
    except NotFoundError:
        return
    with reading(rt.engine) as connection:
        erased = is_retired(connection, stored.dataset_id)
    if erased:  # while we wrote
        rt.objects.delete(layout.evaluation_file(stored.id, REPORT))


def _scores(table: "pa.Table", result: EvaluationResult) -> dict[str, dict[str, list[float]]]:
    """Of single answers, by metric and role."""
    columns = {name: name if name in MEASURES else f"score_{name}" for name in result.cards}
    return {
        name: {system.role.value: _values(table, column, system.role.value) for system in result.systems}
        for name, column in columns.items()
        if {"role", column} <= {*table.column_names}
    }


def _values(table: "pa.Table", column: str, role: str) -> list[float]:
    """Of the answers that came, latency too: that of a failure is no answer's."""
    theirs = table.filter(pc.field("role") == role)
    if column in MEASURES:
        theirs = theirs.filter(pc.field("answer").is_valid())
    return [float(value) for value in theirs[column].to_pylist() if value is not None]
