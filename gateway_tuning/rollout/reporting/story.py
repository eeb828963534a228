"""All there is to tell of one canary, read from the store. A long one's looks are thinned out for drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from gateway_tuning.rollout import canary_rows
from gateway_tuning.rollout.actions import Action, CanaryActions
from gateway_tuning.rollout.canary import Canary, Look
from gateway_tuning.rollout.reporting.spending import Spent, spending
from gateway_tuning.rollout.reporting.steps import Glance, Step, steps
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import canaries, canary_looks
from gateway_tuning.training.cost.prices import PriceBook

DRAWN = 240  # a look a minute for two weeks is 20,000: nobody sees more than so many


@dataclass(frozen=True, slots=True)
class Story:
    """`looks` are those to draw, oldest first: the first, the last, every one that changed something, and some between.

    `looks_in_all` counts those there are. `spent` is None where nobody asked for it.
    """

    canary: Canary
    looks: tuple[Look, ...]
    looks_in_all: int
    steps: tuple[Step, ...]
    actions: tuple[Action, ...]
    spent: tuple[Spent, ...] | None
    told_at: datetime


def read_story(
    engine: sa.Engine,
    canary_id: str,
    *,
    now: datetime,
    prices: PriceBook | None = None,
    drawn: int = DRAWN,
) -> Story:
    """Raises NotFoundError."""
    with reading(engine) as connection:
        canary = canary_rows.get(connection, canary_id)
        glances = _glances(connection, canary_id)
        looks = _looks(connection, canary_id, chosen(glances, drawn))
    spent = None if prices is None else spending(engine, canary_id, prices=prices, on=_day(canary))
    return Story(
        canary=canary,
        looks=looks,
        looks_in_all=len(glances),
        steps=steps(canary, glances),
        actions=tuple(CanaryActions(engine).all(canary_id)),
        spent=spent,
        told_at=now,
    )


def chosen(glances: Sequence[Glance], at_most: int) -> list[int]:
    """Numbers of the looks to draw: about `at_most`, and all that did something."""
    if len(glances) <= at_most:
        return [glance.look for glance in glances]
    last = len(glances) - 1
    kept = {round(last * part / (at_most - 1)) for part in range(at_most)}
    kept |= {number for number, glance in enumerate(glances) if glance.decision not in {"hold", "error"}}
    return [glances[number].look for number in sorted(kept)]


def _glances(connection: sa.Connection, canary_id: str) -> list[Glance]:
    table = canary_looks.c
    query = (
        sa.select(table.look, table.at, table.share, table.decision)
        .where(table.canary_id == canary_id)
        .order_by(table.look)
    )
    return [Glance(*row) for row in connection.execute(query)]


def _looks(connection: sa.Connection, canary_id: str, numbers: Sequence[int]) -> tuple[Look, ...]:
    table = canary_looks.c
    query = (
        sa.select(canary_looks)
        .where(table.canary_id == canary_id, table.look.in_(numbers))
        .order_by(table.look)
    )
    return tuple(canary_rows.look_of(row) for row in connection.execute(query))


def _day(canary: Canary) -> date:
    return canary.started_at.date()


def newest_looks(engine: sa.Engine, canary_id: str, limit: int) -> tuple[Look, ...]:
    """Oldest first."""
    table = canary_looks.c
    query = sa.select(table.look).where(table.canary_id == canary_id).order_by(table.look.desc()).limit(limit)
    with reading(engine) as connection:
        return _looks(connection, canary_id, connection.execute(query).scalars().all())


def newest(engine: sa.Engine, *, model: str | None = None, limit: int) -> list[Canary]:
    """Canaries of all tenants, the newest first."""
    where = () if model is None else (canaries.c.model == model,)
    query = (
        sa.select(canaries.c.id)
        .where(*where)
        .order_by(canaries.c.started_at.desc(), canaries.c.id.desc())
        .limit(limit)
    )
    with reading(engine) as connection:
        return [
            canary_rows.get(connection, canary_id) for canary_id in connection.execute(query).scalars().all()
        ]
