"""Group commit: requests that come while the disk is busy share the next transaction, and its one wait."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError, StoreBusyError
from gateway_tuning.feedback.ingest import Receipt, commit_on
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.submission import Submission

_log = logging.getLogger(__name__)

Answer = list[Receipt] | ConflictError
_ROWS_A_COMMIT = 2000
_PENDING_ROWS = 20_000
_PAUSE_S = 0.05
_GATHER_S = 0.002


@dataclass(frozen=True, slots=True)
class _Waiting:
    submission: Submission
    deadline: float
    future: "asyncio.Future[Answer | Exception]"


class IngestQueue:
    """One thread writes. A submission is answered after its commit, or refused within `patience_s`.

    A refused one may have been committed all the same, when the connection broke in between; sending it again is
    safe. `on_commit` hears the tenants of every commit, in the writer's thread.
    """

    def __init__(
        self,
        store: FeedbackStore,
        *,
        patience_s: float = 5.0,
        on_commit: Callable[[set[str]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._patience_s = patience_s
        self._on_commit = on_commit
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._wake = threading.Event()
        self._closing = False
        self._connection: sa.Connection | None = None
        self._is_busy = False  # the last commit had company: a moment's wait will bring more
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._thread.start()

    async def write(self, submission: Submission) -> list[Receipt]:
        """Raises ConflictError or StoreBusyError."""
        if not self._thread.is_alive():
            raise StoreBusyError("The writer of feedback has ended; restart the service and send it again")
        if self._closing or self._rows >= _PENDING_ROWS:
            raise StoreBusyError("More feedback is waiting than the store can take; send it again")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer | Exception] = loop.create_future()
        self._rows += len(submission.items)
        self._waiting.append(_Waiting(submission, time.monotonic() + self._patience_s, future))
        self._wake.set()
        try:
            answer = await future
        finally:
            self._rows -= len(submission.items)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Write what is waiting and end."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        held: list[_Waiting] = []
        while True:
            if not held and not self._waiting:
                if self._closing:
                    self._let_go()
                    return
                self._wake.wait()
                self._wake.clear()
            if self._is_busy:
                time.sleep(_GATHER_S)
            held = self._refuse_late([*held, *self._take(sum(len(one.submission.items) for one in held))])
            self._is_busy = len(held) > 1
            if held:
                held = self._try(held)

    def _take(self, rows: int) -> list[_Waiting]:
        taken: list[_Waiting] = []
        while self._waiting and (
            rows == 0 or rows + len(self._waiting[0].submission.items) <= _ROWS_A_COMMIT
        ):
            taken.append(self._waiting.popleft())
            rows += len(taken[-1].submission.items)
        return taken

    def _refuse_late(self, held: list[_Waiting]) -> list[_Waiting]:
        late = [one for one in held if one.deadline < time.monotonic()]
        if late:
            _answer(
                late,
                [StoreBusyError("The store did not take the feedback in time; send it again")] * len(late),
            )
        return [one for one in held if one.deadline >= time.monotonic()] if late else held

    def _try(self, held: list[_Waiting]) -> list[_Waiting]:
        """What is left to try again."""
        try:
            answers = self._commit(held)
        except sa.exc.OperationalError as error:  # locked, gone, failed over: writing again is safe
            _log.warning("feedback is not written yet: %s", type(error.orig).__name__)
            time.sleep(_PAUSE_S)
            return held
        except Exception as error:  # noqa: BLE001 - one submission must not fail its neighbours
            if len(held) == 1:
                _log.error("a submission could not be written: %s", type(error).__name__)
                _answer(held, [error])
                return []
            return [left for one in held for left in self._try([one])]
        _answer(held, answers)
        return []

    def _commit(self, held: Sequence[_Waiting]) -> list[Answer]:
        """On a connection that is kept: asking a pool for one takes longer than a small commit."""
        submissions = [one.submission for one in held]
        self._connection = self._connection or self._store.engine.connect()
        try:
            answers = commit_on(self._connection, self._store, submissions, now=datetime.now(UTC))
        except BaseException:
            self._let_go()
            raise
        self._on_commit({submission.tenant for submission in submissions})
        return answers

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _answer(waiting: Sequence[_Waiting], answers: Sequence[Answer | Exception]) -> None:
    """One wake-up of the event loop for all of them."""
    pairs = [(one.future, answer) for one, answer in zip(waiting, answers, strict=True)]

    def deliver() -> None:
        for future, answer in pairs:
            if not future.done():  # the client may have gone
                future.set_result(answer)

    loop = waiting[0].future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(deliver)
