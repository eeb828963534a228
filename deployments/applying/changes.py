"""What applying the files did, or would do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Change:
    """`fields` names what differs, of something that is changed."""

    kind: str
    name: str
    action: Action
    fields: tuple[str, ...] = ()


def differing(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of wanted fields that the present ones do not equal; what is not wanted is nobody's business."""
    return tuple(name for name, value in wanted.items() if present.get(name) != value)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Objects field by field; anything else of `over`, lists too, replaces what `base` has."""
    result = dict(base)
    for name, value in over.items():
        below = result.get(name)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        result[name] = merged(below, value) if both and below is not None else value
    return result


def count(changes: Iterable[Change]) -> dict[Action, int]:
    found = [change.action for change in changes]
    return {action: found.count(action) for action in Action}
