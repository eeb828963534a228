"""Values by field become a record, or plain sentences on why they do not.

A reason reads `short reason: detail`. The short reason holds no value of the row, so that it can be counted by.
"""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway_tuning.feedback.expressions import as_text, shown
from gateway_tuning.feedback.reading import nesting_defect
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType

MAY_BE_EMPTY = ("prompt", "response")  # empty is wrong there, and told as such; elsewhere it means absent
IDENTIFIERS = ("id", "user_id", "conversation_id", "answer_id", "model_version", "deployment", "user_segment")
STRUCTURED = (
    "metadata",
    "user_context",
    "request",
    "history",
    "turns",
    "tools",
)  # as JSON text in a CSV cell
FILLERS = {
    "id": "unknown",
    "type": FeedbackType.THUMBS_UP,
    "prompt": "unknown",
    "response": "unknown",
    "timestamp": "2020-01-01T00:00:00Z",
}


@dataclass(frozen=True, slots=True)
class Shaped:
    """`record` has fillers in place of the fields in `unsound`: it is complete only when there are none."""

    record: FeedbackRecord | None
    faults: tuple[str, ...]
    unsound: frozenset[str]
    feedback_id: str | None


def shape(values: dict[str, Any], *, unknown: set[str]) -> Shaped:
    """`unknown` are fields that the row could not tell; that they are missing is no further fault."""
    given = {name: _prepared(name, value) for name, value in values.items() if name not in unknown}
    given = {name: value for name, value in given.items() if not _is_absent(name, value)}
    feedback_id = given.get("id")
    known_id = feedback_id if isinstance(feedback_id, str) and _is_clean(feedback_id) else None
    fillers = {name: FILLERS[name] for name in unknown if name in FILLERS}
    try:
        record = FeedbackRecord.model_validate({**given, **fillers})
    except ValidationError as error:
        details = error.errors(include_url=False)
        unsound = {str(detail["loc"][0]) for detail in details} | unknown
        faults = tuple(dict.fromkeys(_sentence(detail) for detail in details))
        return Shaped(_filled(given, unsound), faults, frozenset(unsound), known_id)
    return Shaped(record, (), frozenset(unknown), known_id)


def short_reason(reason: str) -> str:
    return reason.partition(": ")[0]


def _filled(given: dict[str, Any], unsound: set[str]) -> FeedbackRecord | None:
    sound = {name: value for name, value in given.items() if name not in unsound}
    try:
        return FeedbackRecord.model_validate({**FILLERS, **sound})
    except ValidationError:  # a key that is no clean text has another name in `unsound`
        return None


def _is_absent(name: str, value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value and name not in MAY_BE_EMPTY)


def _is_clean(text: str) -> bool:
    return text.isprintable() and len(text) <= 200  # noqa: PLR2004 - as FeedbackRecord.id


def _prepared(name: str, value: Any) -> Any:
    if name in IDENTIFIERS and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if name == "satisfaction_score" and isinstance(value, bool):
        return as_text(value)  # pydantic would make 1.0 of true
    if name not in STRUCTURED:
        return value
    value = _from_json_text(value)
    if name == "metadata":
        return _text_values(value)
    if name == "request" and isinstance(value, dict):
        request = {key: item for key, item in value.items() if item is not None and item != ""}
        return request | {"parameters": _text_values(_from_json_text(request.get("parameters", {})))}
    return value


def _from_json_text(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        return value
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return value  # pydantic says what was expected
    return value if nesting_defect(parsed) else parsed


def _text_values(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, tuple) and len(item) == 2 for item in value):  # noqa: PLR2004 - key and value
        value = dict(value)  # a map column of Parquet
    if not isinstance(value, dict):
        return value
    return {key: _one_text(item) for key, item in value.items() if item is not None}


def _one_text(item: Any) -> str:
    return json.dumps(item, sort_keys=True, default=str) if isinstance(item, dict | list) else as_text(item)


def _sentence(detail: ErrorDetails) -> str:
    place = ".".join(shown(part)[1:-1] if isinstance(part, str) else str(part) for part in detail["loc"])
    field, kind, found = str(detail["loc"][0]), detail["type"], shown(detail["input"])
    nested = f" at {place}" if len(detail["loc"]) > 1 else ""
    if kind == "extra_forbidden":
        return f"Unknown field: {place}; rows of another shape need a mapping"
    if kind == "missing":
        return f"{place} is missing"
    if kind == "string_unicode":
        is_text = isinstance(detail["input"], str)
        return (
            f"{field} {'holds half of a surrogate pair' if is_text else 'is no valid UTF-8'}: {found}{nested}"
        )
    if kind == "enum" and field == "type":
        return f"Unknown feedback type: {found}, known are {', '.join(FeedbackType)}"
    if kind.startswith(("datetime", "timezone")):
        return f"{field} is no date and time: {found}"
    return f"{field} does not fit: {detail['msg']}, found {found}{nested}"
