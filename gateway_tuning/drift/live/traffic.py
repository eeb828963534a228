"""Figures of what a version was asked and answered, of two stretches of time: lengths, tokens, refusals, errors.

The reference is the version's own first stretch behind the gateway, and not the one just before: a slow change would
otherwise never show. Requests of simulated users are no traffic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from gateway_tuning.drift.window import Window
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import outcomes

_NUMBERS = {
    "prompt_length": outcomes.c.prompt_chars,
    "answer_length": outcomes.c.answer_chars,
    "prompt_tokens": outcomes.c.prompt_tokens,
    "answer_tokens": outcomes.c.completion_tokens,
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start`, which is part of it, to `end`, which is not."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Traffic:
    """Where nothing can be compared `windows` is None, `missing` says why, and `state` what the check then is."""

    windows: tuple[Window, Window] | None  # reference and current
    state: Literal["not_applicable", "inconclusive"] | None = None
    missing: str | None = None


def read_traffic(
    engine: sa.Engine, version_id: str, *, now: datetime, days: float, max_requests: int
) -> Traffic:
    """The last `days` of a version, and its first ones; they do not overlap."""
    length = timedelta(days=days)
    current = Stretch(now - length, now)
    with reading(engine) as connection:
        first = connection.execute(
            sa.select(sa.func.min(outcomes.c.at)).where(*_of_users(version_id))
        ).scalar()
        if first is None:
            return Traffic(None, "not_applicable", f"no user has asked {version_id} through the gateway")
        reference = Stretch(first, first + length)
        if reference.end > current.start:
            told = f"{version_id} is asked since {first:%Y-%m-%d}; its first and its last {days:g} days are one window"
            return Traffic(None, "inconclusive", told)
        rows = [_read(connection, version_id, one, max_requests) for one in (reference, current)]
    if not all(rows):
        empty = [_told(one) for one, found in zip((reference, current), rows, strict=True) if not found]
        return Traffic(None, "inconclusive", f"{version_id} was not asked {' and '.join(empty)}")
    numbers = [name for name in _NUMBERS if all(_is_known(side, name) for side in rows)]
    categories = [name for name in ("refusal", "error") if all(_is_known(side, name) for side in rows)]
    older, newer = (
        _window(version_id, one, found, numbers, categories)
        for one, found in zip((reference, current), rows, strict=True)
    )
    return Traffic((older, newer))


def _of_users(version_id: str) -> list[sa.ColumnElement[bool]]:
    return [outcomes.c.version_id == version_id, outcomes.c.simulated.is_(False)]


def _read(connection: sa.Connection, version_id: str, stretch: Stretch, limit: int) -> list["sa.Row[Any]"]:
    query = (
        sa.select(
            outcomes.c.user_key,
            outcomes.c.error,
            outcomes.c.refused,
            *(column.label(name) for name, column in _NUMBERS.items()),
        )
        .where(*_of_users(version_id), outcomes.c.at >= stretch.start, outcomes.c.at < stretch.end)
        .order_by(outcomes.c.at.desc())
        .limit(limit)
    )
    return list(connection.execute(query))


def _is_known(rows: Sequence["sa.Row[Any]"], name: str) -> bool:
    """A figure that one side never has, as of a gateway from before it was kept, tells nothing of a change."""
    match name:
        case "error":
            return True
        case "refusal":
            return any(row.refused is not None for row in rows)
        case _:
            return any(getattr(row, name) is not None for row in rows)


def _window(
    version_id: str,
    stretch: Stretch,
    rows: Sequence["sa.Row[Any]"],
    numbers: Sequence[str],
    categories: Sequence[str],
) -> Window:
    told: dict[str, list[str | None]] = {
        "refusal": [None if row.refused is None else _yes(row.refused) for row in rows],
        "error": [_yes(row.error is not None) for row in rows],
    }
    return Window(
        label=f"{version_id} {_told(stretch)}",
        prompts=None,
        answers=None,
        feedback_types=None,
        groups=[row.user_key for row in rows],
        numbers={name: [getattr(row, name) for row in rows] for name in numbers},
        categories={name: told[name] for name in categories},
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _told(stretch: Stretch) -> str:
    return f"from {stretch.start:%Y-%m-%d %H:%M} to {stretch.end:%Y-%m-%d %H:%M}"
