"""Outcomes into their table with little work for the process that serves: it shares its time with the requests.

Through SQLAlchemy a row costs 45 to 55 µs of it, so 4 to 11 µs.
"""

from collections.abc import Sequence
from datetime import UTC
from operator import attrgetter
from typing import TYPE_CHECKING

import orjson
import sqlalchemy as sa

from gateway_tuning.storage.tables import outcomes

if TYPE_CHECKING:
    from gateway_tuning.rollout.outcomes import Outcome

_NAMES = tuple(column.name for column in outcomes.columns)
_COLUMNS = ", ".join(_NAMES)
_TABLE = outcomes.name
# Names of our own tables and columns alone, no values.
_POSTGRESQL = (
    f"INSERT INTO {_TABLE} ({_COLUMNS}) SELECT {_COLUMNS} "  # noqa: S608
    f"FROM json_populate_recordset(NULL::{_TABLE}, CAST(%s AS json)) ON CONFLICT (answer_id) DO NOTHING"
)
_SQLITE = (
    f"INSERT INTO {_TABLE} ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))}) "  # noqa: S608
    "ON CONFLICT (answer_id) DO NOTHING"
)
_values = attrgetter(*_NAMES)
_AT = _NAMES.index("at")


def insert_new(connection: sa.Connection, batch: Sequence["Outcome"]) -> None:
    """An answer that is stored already stays as it is. Raises ValueError for a time without a zone."""
    for outcome in batch:
        if outcome.at.tzinfo is None:
            raise ValueError(f"{outcome.at!r} has no time zone; the store keeps UTC only")
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_POSTGRESQL, (orjson.dumps(batch).decode(),))
    else:
        connection.exec_driver_sql(_SQLITE, [_row(outcome) for outcome in batch])


def _row(outcome: "Outcome") -> tuple[object, ...]:
    values: tuple[object, ...] = _values(outcome)
    # As SQLAlchemy writes it: without the zone, which is UTC in every table.
    at = outcome.at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return (*values[:_AT], at, *values[_AT + 1 :])
