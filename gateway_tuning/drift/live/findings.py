"""One report from the check of the texts and that of the traffic. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TEXTS, TRAFFIC = "texts", "traffic"
_WORST = ("drift", "error", "inconclusive", "no_drift", "not_applicable")


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A part that could not be checked: why, and whether that is the state of things or a failure."""

    state: str  # error, inconclusive, not_applicable
    reason: str


def combined(parts: Mapping[str, Mapping[str, Any] | Unchecked], *, current: str) -> dict[str, Any]:
    """A `check.DriftReport` as JSON, of parts that are such reports or could not be made; `parts` has the state of each.

    The worst state decides: drift in one part is drift, and a part that could not be checked keeps the whole from
    passing. What only one kind of check tells (topics, words) stands as that part tells it.
    """
    made = {name: part for name, part in parts.items() if not isinstance(part, Unchecked)}
    states = {
        name: part.state if isinstance(part, Unchecked) else str(part["state"])
        for name, part in parts.items()
    }
    scores = [part["score"] for part in made.values() if part["score"] is not None]
    found: dict[str, Any] = {}
    for part in reversed(made.values()):
        found |= {name: value for name, value in part.items() if value or name not in found}
    return found | {
        "state": min(states.values(), key=_WORST.index),
        "reasons": _reasons(parts),
        "metrics": [
            {**metric, "name": _named(name, metric["name"])}
            for name, part in made.items()
            for metric in part["metrics"]
        ],
        "unmeasured": [
            {**one, "name": _named(name, one["name"])}
            for name, part in made.items()
            for one in part.get("unmeasured", ())
        ],
        "data_quality": [issue for part in made.values() for issue in part["data_quality"]],
        "score": max(scores) if scores else None,
        "reference": "; ".join(str(part["reference"]) for part in made.values() if part["reference"]) or None,
        "current": current,
        "parts": states,
    }


def _named(part: str, column: str) -> str:
    return column if part == TEXTS else f"{part}: {column}"


def _reasons(parts: Mapping[str, Mapping[str, Any] | Unchecked]) -> list[str]:
    told = []
    for name, part in parts.items():
        reasons = [part.reason] if isinstance(part, Unchecked) else part["reasons"]
        told += [f"{name}: {reason}" for reason in reasons]
    return told
