"""Stored feedback in blocks of bounded size, by time: many can read it side by side, and none holds it whole.

The index on time has all that blocks are cut by, and each is one range of it: a block takes as long among millions of
records as among thousands.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from gateway_tuning.errors import IntegrityError
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.database_failures import answering
from gateway_tuning.storage.tables import UtcDateTime, feedback

Place = tuple[datetime, str]  # of a record in time: event time, then id


@dataclass(frozen=True, slots=True)
class Block:
    """Records after the one place, up to and with the other."""

    number: int
    after: Place | None
    up_to: Place


@dataclass(frozen=True, slots=True)
class Which:
    """Which feedback of a tenant. All types when `types` is None."""

    tenant: str
    watermark: int
    since: datetime | None = None
    types: tuple[FeedbackType, ...] | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """`records` are stored, `wanted` of them are meant; `blocks`, newest first, hold the newest of these."""

    records: int
    wanted: int
    blocks: tuple[Block, ...]


def extent(engine: sa.Engine, which: Which, *, limit: int, block_records: int) -> Extent:
    """Cut the newest `limit` records into blocks of `block_records`; the oldest block may have fewer.

    Raises StoreBusyError when the store does not answer.
    """
    stored = [feedback.c.tenant == which.tenant, feedback.c.sequence <= which.watermark]
    with answering(engine), reading(engine) as connection:
        records = connection.execute(sa.select(sa.func.count()).where(*stored)).scalar_one()
        meant = _meant(which)
        wanted = connection.execute(sa.select(sa.func.count()).where(*meant)).scalar_one()
        order = [column.desc() for column in _order(connection)]
        place = sa.func.row_number().over(order_by=order).label("place")
        ranked = sa.select(feedback.c.event_time, feedback.c.id, place).where(*meant).subquery()
        last = sa.and_(ranked.c.place <= limit, (ranked.c.place - 1) % block_records == 0)
        rows = connection.execute(
            sa.select(ranked).where(sa.or_(last, ranked.c.place == limit + 1)).order_by(ranked.c.place)
        ).all()
    ends: list[Place] = [(row.event_time, row.id) for row in rows if row.place <= limit]
    beyond = next(((row.event_time, row.id) for row in rows if row.place == limit + 1), None)
    blocks = zip(ends, [*ends[1:], beyond], strict=True) if ends else ()
    return Extent(
        records, wanted, tuple(Block(number, after, up_to) for number, (up_to, after) in enumerate(blocks))
    )


def read_block(
    engine: sa.Engine, which: Which, block: Block, *, chunk: int = 1000
) -> Iterator[FeedbackRecord]:
    """In order of time. `chunk` rows are held at a time.

    Raises:
        StoreBusyError: the store does not answer.
        IntegrityError: what is stored is no record; the error quotes nothing of it.
    """
    with answering(engine), reading(engine) as connection:
        columns = sa.tuple_(*_order(connection))
        within = [columns <= _bound(block.up_to)]
        if block.after is not None:
            within.append(columns > _bound(block.after))
        # As text: to parse and check it in one step takes half the time of doing one after the other.
        stored = sa.select(feedback.c.id, sa.cast(feedback.c.record, sa.Text))
        query = stored.where(*_meant(which), *within).order_by(*_order(connection))
        for id_, content in connection.execution_options(yield_per=chunk).execute(query):
            yield _record(which.tenant, id_, content)


def users_of(
    engine: sa.Engine, tenant: str, ids: Sequence[str], *, chunk: int = 500
) -> dict[str, str | None]:
    """Whose these records are, of those that are still there."""
    found: dict[str, str | None] = {}
    with answering(engine), reading(engine) as connection:
        for start in range(0, len(ids), chunk):
            query = sa.select(feedback.c.record).where(
                feedback.c.tenant == tenant, feedback.c.id.in_(ids[start : start + chunk])
            )
            for (record,) in connection.execute(query):
                found[record["id"]] = record.get("user_id")
    return found


def _record(tenant: str, id_: str, content: str) -> FeedbackRecord:
    try:
        return FeedbackRecord.model_validate_json(content)
    except ValidationError:
        pass  # pydantic's parser stops at 200 levels, and tools may have more
    try:
        return FeedbackRecord.model_validate(json.loads(content))
    except (ValidationError, json.JSONDecodeError) as error:
        raise IntegrityError(
            f"What is stored as feedback {id_!r} of tenant {tenant!r} is no record ({_wrong(error)}); a newer version "
            "may have written it: read it with that one, or send the feedback again"
        ) from None  # its text would be quoted


def _wrong(error: ValidationError | json.JSONDecodeError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return "no JSON"
    # A key of a mapping may be anybody's words; the names of our fields are not.
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return "wrong: " + ", ".join(sorted({_field(*fault["loc"][:1]) for fault in faults}))


def _field(name: str | int | None = None) -> str:
    if name is None:
        return "all of it"
    return str(name) if name in FeedbackRecord.model_fields else "an unknown field"


def _meant(which: Which) -> list[sa.ColumnElement[bool]]:
    conditions = [feedback.c.tenant == which.tenant, feedback.c.sequence <= which.watermark]
    if which.since is not None:
        conditions.append(feedback.c.event_time >= which.since)
    if which.types is not None:
        conditions.append(feedback.c.type.in_([kind.value for kind in which.types]))
    return conditions


def _order(connection: sa.Connection) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """Ids by their code points, whatever language the database sorts by."""
    if connection.dialect.name == "postgresql":
        return feedback.c.event_time, sa.collate(feedback.c.id, "C")
    return feedback.c.event_time, feedback.c.id


def _bound(place: Place) -> Any:
    return sa.tuple_(sa.literal(place[0], UtcDateTime()), sa.literal(place[1]))
