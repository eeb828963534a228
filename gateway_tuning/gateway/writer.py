"""Outcomes on their way to the store: written in batches behind the requests, bounded, losses counted."""

import asyncio
import logging
from collections import deque
from itertools import islice

from gateway_tuning.errors import NotFoundError
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore

_log = logging.getLogger(__name__)
_BATCH = 500


class OutcomeWriter:
    """Keeps at most `limit` outcomes; while the store is unreachable newer ones are lost and counted."""

    def __init__(self, store: OutcomeStore, *, interval_s: float, limit: int) -> None:
        self.written = 0
        self.lost = 0
        self.error: str | None = None
        self._store = store
        self._interval_s = interval_s
        self._limit = limit
        self._pending: deque[Outcome] = deque()
        self._writing = asyncio.Lock()

    @property
    def pending(self) -> int:
        return len(self._pending)

    def add(self, outcome: Outcome) -> None:
        if len(self._pending) >= self._limit:
            self.lost += 1
            return
        self._pending.append(outcome)

    async def rate(self, answer_id: str, score: float) -> None:
        """Raises NotFoundError. An answer still on its way is written first."""
        try:
            await asyncio.to_thread(self._store.rate, answer_id, score)
        except NotFoundError:
            await self.flush()
            await asyncio.to_thread(self._store.rate, answer_id, score)

    async def flush(self) -> None:
        """Write what is pending now; on an error everything unwritten stays pending."""
        async with self._writing:
            while self._pending:
                batch = list(islice(self._pending, _BATCH))
                await asyncio.to_thread(self._store.write, batch)
                for _ in batch:
                    self._pending.popleft()
                self.written += len(batch)

    async def keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self._flush_quietly()

    async def close(self) -> None:
        """Write the rest, or say how much is lost."""
        await self._flush_quietly()
        if self._pending:
            _log.error("%d outcomes are lost: the store did not take them", self.pending)

    async def _flush_quietly(self) -> None:
        try:
            await self.flush()
        except Exception as error:  # noqa: BLE001 - the next round tries again, /healthz shows why
            # The whole message would show the outcomes: who knows an answer's id may rate it.
            told = f"{type(error).__name__}: {getattr(error, 'orig', None) or 'see the store'}"
            if self.error is None:
                _log.warning("%d outcomes could not be written, trying again: %s", self.pending, told)
            self.error = told
        else:
            self.error = None
