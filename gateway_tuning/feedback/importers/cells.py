"""Single values as exports write them: two spellings of a name, JSON in text, times without a zone."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from gateway_tuning.feedback.reading import nesting_defect

LATEST_EPOCH = 253_402_300_799  # seconds; the end of the year 9999


def cell(row: dict[str, Any], name: str) -> Any:
    """By its snake_case name or the camelCase one; None when absent or empty."""
    first, *rest = name.split("_")
    value = row.get(name)
    if value is None:
        value = row.get(first + "".join(part.capitalize() for part in rest))
    return None if value == "" else value


def text_cell(row: dict[str, Any], name: str) -> str | None:
    """None for what is no text: a number is no id."""
    value = cell(row, name)
    return value if isinstance(value, str) else None


def parsed(value: Any) -> Any:
    """The object or list that a text holds as JSON; any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return value if nesting_defect(found) else found


def mapping_cell(row: dict[str, Any], name: str) -> dict[str, Any]:
    """An object, its JSON text, or the pairs of a map column; empty when it is none of these."""
    value = parsed(cell(row, name))
    if isinstance(value, list) and all(isinstance(item, list | tuple) and len(item) == 2 for item in value):  # noqa: PLR2004 - key and value
        return {str(key): item for key, item in value}
    return value if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """A finite number, or the one that a text spells out."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> int | None:
    """Tokens: a whole number from 0 on; anything else is not known."""
    found = number(value)
    return int(found) if found is not None and found >= 0 and found.is_integer() else None


def moment(value: Any) -> datetime | None:
    """A time: what has no zone is UTC; a number is seconds since 1970. None for what is no time."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    seconds = number(value)
    if seconds is not None:
        return datetime.fromtimestamp(seconds, UTC) if 0 <= seconds <= LATEST_EPOCH else None
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def told_time(value: Any) -> str | None:
    """The time as text for a record; None, so that it is missing there, when there is none."""
    found = moment(value)
    return None if found is None else found.isoformat()


def milliseconds_between(start: Any, end: Any) -> float | None:
    begun, ended = moment(start), moment(end)
    if begun is None or ended is None or ended < begun:
        return None
    return (ended - begun).total_seconds() * 1000
