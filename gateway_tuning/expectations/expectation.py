"""An expectation as data, and what was found. Pure."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypedDict

Severity = Literal["critical", "warning"]


class Expectation(NamedTuple):
    """An expectation of Great Expectations by its class name, in words of ours.

    `remedy` tells what to do where it is not met.
    """

    name: str
    severity: Severity
    kind: str
    arguments: dict[str, Any]
    remedy: str = ""


class Outcome(TypedDict):
    """`observed` is a statistic of the column, or the share of its values that meet the expectation.

    None in `success`: the column is empty, so nothing can be said.
    """

    name: str
    column: str | None
    success: bool | None
    observed: Any
    unexpected_count: int | None
    severity: Severity


class Verdict(TypedDict):
    """`success` says that no critical one failed."""

    success: bool
    warnings: int


def verdict(outcomes: Sequence[Outcome]) -> Verdict:
    failed = [one["severity"] for one in outcomes if one["success"] is False]
    return {"success": "critical" not in failed, "warnings": failed.count("warning")}


def column_of(expectation: Expectation) -> str | None:
    """Of a pair of columns the first."""
    found = expectation.arguments.get("column", expectation.arguments.get("column_A"))
    return None if found is None else str(found)
