"""How states, figures and times are said, the same on every page."""

from datetime import datetime
from typing import Any

UNKNOWN = "unknown"
_GOOD = {
    "succeeded",
    "promoted",
    "approved",
    "stable",
    "passed",
    "promote",
    "finished",
    "no_drift",
    "accepted",
    "ok",
}
_BAD = {
    *(
        "failed",
        "rejected",
        "rolled_back",
        "rolled back",
        "drift",
        "error",
        "invalid",
        "alarm",
        "denied",
        "reject",
    ),
    *("crashed", "lost"),
}
_NOTE = {
    *(
        "pending",
        "awaiting_approval",
        "held",
        "hold",
        "inconclusive",
        "cancelled",
        "warning",
        "withdrawn",
        "superseded",
    ),
    *("quarantined", "aborted", "insufficient"),
}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def tone(state: object) -> str:
    """`good`, `bad`, `note` or nothing: the colour of a state. Its word stands beside it always."""
    name = str(state).lower()
    for found, names in (("good", _GOOD), ("bad", _BAD), ("note", _NOTE)):
        if name in names:
            return found
    return ""


def said(name: object) -> str:
    """`thumbs_up` as `thumbs up`."""
    return str(name).replace("_", " ")


def ago(moment: datetime, now: datetime) -> str:
    seconds = (now - moment).total_seconds()
    past = seconds >= 0
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            count = f"{int(abs(seconds) // size)} {unit}"
            return f"{count} ago" if past else f"in {count}"
    return "just now" if past else "in a moment"


def number(value: Any, digits: int = 0) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def share(value: Any, digits: int = 1) -> str:
    """Of one, in per cent."""
    return UNKNOWN if value is None else f"{value:.{digits}%}"
