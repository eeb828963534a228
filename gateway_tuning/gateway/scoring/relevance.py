"""Relevance of a sampled share of answers, written to their outcomes. Nobody who scores knows whose answer it is."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import islice

import sqlalchemy as sa

from gateway_tuning.gateway.observing import Answered
from gateway_tuning.gateway.routing import Route
from gateway_tuning.gateway.scoring.process import Scores, Scoring
from gateway_tuning.gateway.scoring.texts import texts_of, unscored
from gateway_tuning.rollout.outcomes import OutcomeStore
from gateway_tuning.rollout.relevance import is_sampled

_log = logging.getLogger(__name__)
_METRIC = "relevance"
_BATCH = 500
_LIMIT = 10_000  # scores that are not stored yet
_TRIES = 40  # an outcome is written within a second or so of its answer; one that never comes was lost itself


class RelevanceObserver:
    """`skipped` counts answers without a relevance by reason, `lost` scores whose outcome never came."""

    def __init__(self, store: OutcomeStore, scoring: Scoring, *, share: float) -> None:
        self.written = self.lost = 0
        self.skipped: Counter[str] = Counter()
        self.error: str | None = None
        self._store, self._scoring, self._share = store, scoring, share
        self._pending: dict[str, float] = {}
        self._tries: Counter[str] = Counter()
        self._under_way: set[asyncio.Future[Scores | None]] = set()

    def wants(self, answer_id: str, route: Route) -> bool:
        del route
        return is_sampled(answer_id, self._share)

    def answered(self, answer: Answered) -> None:
        """A failure has no relevance, nor an answer that declines: error rate and refusals tell of those."""
        if not is_sampled(answer.answer_id, self._share):
            return
        reason = unscored(answer.text, answer.error)
        texts = None if reason is not None else texts_of(answer.body, answer.text or "")
        if texts is None:
            self.skipped[reason or "no question"] += 1
            return
        future = self._scoring.submit(texts, (_METRIC,))
        self._under_way.add(future)
        future.add_done_callback(partial(self._scored, answer.answer_id))

    def _scored(self, answer_id: str, future: "asyncio.Future[Scores | None]") -> None:
        self._under_way.discard(future)
        scores = None if future.cancelled() else future.result()
        value = None if scores is None else next(iter(scores.values()), None)
        if value is None:
            self.skipped["not scored" if scores is None else "unknown"] += 1
        elif len(self._pending) >= _LIMIT:
            self.lost += 1
        else:
            self._pending[answer_id] = value

    async def keep_writing(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            await self._flush()

    async def _flush(self) -> None:
        for _ in range(0, len(self._pending), _BATCH):
            batch = dict(islice(self._pending.items(), _BATCH))
            try:
                missing = await asyncio.to_thread(self._store.note_relevance, batch)
            except sa.exc.SQLAlchemyError as error:
                if self.error is None:
                    _log.warning("relevance cannot be written, trying again: %s", type(error).__name__)
                self.error = type(error).__name__
                return
            self.error = None
            self._note(batch, missing)

    def _note(self, batch: dict[str, float], missing: set[str]) -> None:
        for answer_id, value in batch.items():
            del self._pending[answer_id]
            if answer_id not in missing:
                self.written += 1
                self._tries.pop(answer_id, None)
                continue
            self._tries[answer_id] += 1
            if self._tries[answer_id] < _TRIES:
                self._pending[answer_id] = value  # at the end: those that can be written go first
            else:
                del self._tries[answer_id]
                self.lost += 1

    async def close(self) -> None:
        """Write what is scored. What is not yet has no relevance."""
        await self._flush()


@asynccontextmanager
async def open_relevance(
    engine: sa.Engine, scoring: Scoring, *, share: float, interval_s: float = 0.5
) -> AsyncIterator[RelevanceObserver]:
    """`share` is in [0, 1], of all answers; scores are written every `interval_s`."""
    observer = RelevanceObserver(OutcomeStore(engine), scoring, share=share)
    writing = asyncio.create_task(observer.keep_writing(interval_s))
    try:
        yield observer
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await observer.close()
