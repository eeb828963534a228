"""How much feedback came, by type and day, as the index of feedback by time tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from gateway_tuning.feedback.record import FeedbackType
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import feedback

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Activity:
    """`counts` has a figure for each type that occurs and each span of days, of which `begins` are the first ones.

    Days are of UTC, by when the feedback was given.
    """

    begins: Sequence[date]
    counts: dict[str, list[int]]

    @property
    def total(self) -> int:
        return sum(sum(figures) for figures in self.counts.values())


def activity(engine: sa.Engine, tenant: str, *, days: int, now: datetime, span: int = 1) -> Activity:
    """Of the last `days`, today's included, in spans of so many days."""
    end = now.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    begins = [end - _DAY * back for back in range(days, 0, -span)]
    of_spans = [
        sa.select(sa.literal(place).label("place"), feedback.c.type, sa.func.count().label("figure"))
        .where(feedback.c.tenant == tenant)
        .where(feedback.c.event_time >= begin, feedback.c.event_time < begin + _DAY * span)
        .group_by(feedback.c.type)
        for place, begin in enumerate(begins)
    ]
    counts: dict[str, list[int]] = {kind.value: [0] * len(begins) for kind in FeedbackType}
    with reading(engine) as connection:
        for place, kind, figure in connection.execute(sa.union_all(*of_spans)):
            counts.setdefault(kind, [0] * len(begins))[place] = figure
    occurring = {kind: row for kind, row in counts.items() if any(row)}
    return Activity([begin.date() for begin in begins], occurring)
