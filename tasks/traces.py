"""What the loop has done, as spans for a collector, where one is named. Tracing fails nothing that is traced."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import sqlalchemy as sa

from gateway_tuning.cycles.cycle import Cycle, Stage
from gateway_tuning.observability.spans import MOST_LINKS, canary_span, cycle_span, stage_span
from gateway_tuning.observability.traces import Tracing, name_collector, open_tracing
from gateway_tuning.rollout.canary import Canary
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import dataset_feedback
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.observability")


def trace_stage(cycle: Cycle, stage: Stage) -> None:
    with _tracing() as tracing:
        if tracing is not None:
            made_of = _used_feedback(stage.result.id) if stage.stage == "dataset" else ()
            tracing.send([stage_span(cycle, stage, feedback_ids=made_of)])


def trace_cycle(cycle: Cycle) -> None:
    """Once it has ended."""
    with _tracing() as tracing:
        if tracing is not None:
            tracing.send([cycle_span(cycle, now=now())])


def trace_canary(canary: Canary) -> None:
    """Once it has ended."""
    with _tracing() as tracing:
        if tracing is not None:
            tracing.send([canary_span(canary, runtime().canaries.looks(canary.id), now=now())])


@contextmanager
def _tracing() -> Iterator[Tracing | None]:
    try:
        tracing = _opened()
        yield tracing
        if tracing is not None:
            tracing.flush()  # a run's process may end at any time
    except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
        logger.warning("a span was not sent: %s", type(error).__name__)


@lru_cache(maxsize=1)
def _opened() -> Tracing | None:
    name_collector(runtime().settings.otlp_endpoint)
    return open_tracing()


def _used_feedback(dataset_id: str) -> tuple[str, ...]:
    query = (
        sa.select(dataset_feedback.c.feedback_id)
        .where(dataset_feedback.c.dataset_id == dataset_id, dataset_feedback.c.used)
        .order_by(dataset_feedback.c.feedback_id)
        .limit(MOST_LINKS)
    )
    with reading(runtime().engine) as connection:
        return tuple(connection.execute(query).scalars())
