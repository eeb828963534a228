"""TensorZero: feedback joined with the inferences it is on.

Format: the tables `ChatInference`, `JsonInference`, `ModelInference`, `BooleanMetricFeedback`,
`FloatMetricFeedback`, `CommentFeedback` and `DemonstrationFeedback` of the gateway's data model of 2026 (the one
with `snapshot_hash`), written by ClickHouse as JSONEachRow, CSV or Parquet. Tables are told apart by their columns.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from gateway_tuning.errors import InputFileError
from gateway_tuning.feedback.expressions import shown
from gateway_tuning.feedback.importers.cells import (
    cell,
    count,
    mapping_cell,
    number,
    parsed,
    text_cell,
    told_time,
)
from gateway_tuning.feedback.importers.chat import answer_text, request_fields
from gateway_tuning.feedback.importers.opinion import TRUE_IS_GOOD, opinion, satisfaction
from gateway_tuning.feedback.importers.protocol import ImportedRow, SetAside, UnfitError
from gateway_tuning.feedback.importers.scales import Scales
from gateway_tuning.feedback.importers.spool import Spool
from gateway_tuning.feedback.reading import BrokenRow, RawRow, read_rows
from gateway_tuning.feedback.record import FeedbackType

INFERENCE = {"id", "function_name", "variant_name", "episode_id", "input", "output"}
EVALUATION = "tensorzero::evaluation_name::"  # metrics that an evaluator of TensorZero writes begin so
UUID_TIME_VERSION = 7


def rows(path: Path, scales: Scales) -> Iterator[ImportedRow]:
    """Every row of a feedback table is one row. Only the inferences of one episode are held in memory at a time."""
    found = 0
    with Spool() as spool:
        for row in read_rows(path):
            if isinstance(row, BrokenRow):
                yield row
            elif not _sort(row, spool):
                reason = (
                    "Not a row of a TensorZero table that is read here: "
                    f"its columns are {', '.join(sorted(row.value))[:200]}"
                )
                yield SetAside(row.source, row.position, reason, row.value)
        for row in spool.statements():
            found += 1
            yield _joined(row, spool, scales)
        if not found and spool.kept():
            raise InputFileError(
                f"{path} holds {spool.kept()} inferences, but no feedback; export the feedback tables too"
            )


def _sort(row: RawRow, spool: Spool) -> bool:
    value = row.value
    id_, inference_id = text_cell(value, "id"), text_cell(value, "inference_id")
    if "value" in value and ("target_id" in value or "inference_id" in value):
        spool.add_statement(row)
    elif value.keys() >= INFERENCE and id_ is not None:
        spool.keep("inference", id_, value, group=text_cell(value, "episode_id"))
    elif "model_name" in value and id_ is not None and inference_id is not None:
        spool.keep("model", id_, _figures(value), group=inference_id)
    else:
        return False
    return True


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    """Without the raw request and response: they repeat the texts."""
    return {key: value for key, value in row.items() if not key.startswith("raw_")}


def _joined(row: RawRow, spool: Spool, scales: Scales) -> ImportedRow:
    feedback = row.value
    id_, user = text_cell(feedback, "id"), _user(feedback)
    known = None if id_ is None else f"tensorzero:{id_}"
    try:
        inference, level = _target(feedback, spool)
        user = _user(inference) or user
        models = spool.group("model", str(inference["id"]))
        record = {
            "id": known,
            "timestamp": _time_of(id_) or told_time(cell(feedback, "timestamp")),
            "user_id": user,
            **_texts(inference, models),
            **_opinion(feedback, scales),
            **_context(inference, models),
        }
    except UnfitError as error:
        return SetAside(row.source, row.position, str(error), feedback, known, user)
    tags = {**mapping_cell(inference, "tags"), **mapping_cell(feedback, "tags")}
    record["metadata"] = {
        **{key: value for key, value in tags.items() if key != "user_id"},
        "metric_name": text_cell(feedback, "metric_name"),
        "level": level,
        "function_name": inference["function_name"],
        "model": record.pop("model"),
    }
    return RawRow(row.source, row.position, record)


def _target(feedback: dict[str, Any], spool: Spool) -> tuple[dict[str, Any], str]:
    """The inference, and the level of the feedback. An episode is judged by its last answer: what its user saw."""
    target = text_cell(feedback, "inference_id") or text_cell(feedback, "target_id")
    if target is None:
        raise UnfitError("Feedback names no inference or episode: export ids as text, with toString(...)")
    stated = cell(feedback, "target_type")
    if stated != "episode" and (inference := spool.find("inference", target)) is not None:
        return inference, "inference"
    if stated != "inference" and "inference_id" not in feedback and (of := spool.group("inference", target)):
        return max(of, key=lambda item: str(item["id"])), "episode"  # a UUIDv7 begins with its time
    raise UnfitError(f"Its inference or episode is not in the export: {shown(target)}")


def _texts(inference: dict[str, Any], models: list[dict[str, Any]]) -> dict[str, Any]:
    try:
        request = request_fields(parsed(cell(inference, "input")))
    except UnfitError:
        # Input is arguments of templates. What became of them is what the model was sent, where it was asked once.
        if len(models) != 1 or cell(models[0], "input_messages") is None:
            raise
        sent = {"messages": parsed(models[0]["input_messages"]), "system": cell(models[0], "system")}
        request = request_fields(sent)
    return {**request, "response": answer_text(cell(inference, "output"))}


def _opinion(feedback: dict[str, Any], scales: Scales) -> dict[str, Any]:
    name, value = text_cell(feedback, "metric_name"), cell(feedback, "value")
    if "inference_id" in feedback:
        return {"type": FeedbackType.CORRECTION.value, "corrected_response": answer_text(value)}
    if cell(feedback, "target_type") is not None or name == "comment":
        return {"type": FeedbackType.TEXT.value, "comment": value}
    if name is None or value is None:
        raise UnfitError("Feedback has no metric or no value: it says nothing")
    automatic = name.startswith(EVALUATION)
    scale = scales.of(name)
    if isinstance(value, bool) or value in ("true", "false"):
        scale = scale or (None if automatic else TRUE_IS_GOOD)
        figure: float | None = float(value in (True, "true"))
    else:
        figure = number(value)
    if figure is None:
        raise UnfitError(f"Metric has no number or boolean: {shown(value)}")
    return opinion(satisfaction(name, figure, scale), automatic=automatic, comment=None)


def _context(inference: dict[str, Any], models: list[dict[str, Any]]) -> dict[str, Any]:
    parameters = mapping_cell(mapping_cell(inference, "inference_params"), "chat_completion")
    names = {text_cell(model, "model_name") for model in models}
    return {
        "conversation_id": text_cell(inference, "episode_id"),
        "answer_id": inference["id"],
        "deployment": text_cell(inference, "variant_name"),
        "model": names.pop() if len(names) == 1 else None,
        "request": {
            "client_application": text_cell(inference, "function_name"),
            "parameters": parameters,
            "prompt_tokens": _total(models, "input_tokens"),
            "response_tokens": _total(models, "output_tokens"),
            "processing_time_ms": number(cell(inference, "processing_time_ms")),
        },
    }


def _total(models: list[dict[str, Any]], column: str) -> int | None:
    """Over every call of the inference; not known as soon as one of them is not."""
    counts = [count(cell(model, column)) for model in models]
    known = [found for found in counts if found is not None]
    return sum(known) if counts and len(known) == len(counts) else None


def _user(row: dict[str, Any]) -> str | None:
    user = mapping_cell(row, "tags").get("user_id")
    return user if isinstance(user, str) and user else None


def _time_of(id_: str | None) -> str | None:
    """A UUIDv7 begins with the milliseconds since 1970; the table's own column has seconds and no zone."""
    try:
        uuid = UUID(id_ or "")
    except ValueError:
        return None
    if uuid.version != UUID_TIME_VERSION:
        return None
    return datetime.fromtimestamp((uuid.int >> 80) / 1000, UTC).isoformat()
