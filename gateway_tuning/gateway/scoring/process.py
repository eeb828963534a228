"""Scores texts in a child process, so that a busy model takes no time from answers. Texts live in memory alone.

What cannot be taken in time is dropped and counted. A child that ends or hangs is started again, later each time.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from gateway_tuning.gateway.scoring.texts import Ask, Texts, packed

Scores = Mapping[str, float | None]

COMMAND = (sys.executable, "-m", "gateway_tuning.gateway.scoring.child")
_BATCH = 16
_CHARS = 20_000_000  # waiting at most
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 300.0
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


class ScoringError(Exception):
    """The child ended, hung, or cannot score."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    ask: Ask
    future: "asyncio.Future[Scores | None]"
    loop: asyncio.AbstractEventLoop


class Scoring:
    """One child, started by the first text. `error` says why there is none now.

    `dropped` found the queue full, `lost` were with a child that ended; `faults` counts scorers that broke.
    """

    def __init__(
        self,
        *,
        limit: int = 1_000,
        reply_s: float = 60.0,
        first_wait_s: float = _FIRST_WAIT_S,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.scored = self.dropped = self.lost = self.restarts = 0
        self.faults: Counter[str] = Counter()
        self.scorers: dict[str, str] = {}
        self.error: str | None = None
        self._limit, self._reply_s, self._first_wait_s, self._command = limit, reply_s, first_wait_s, command
        self._waiting: deque[_Waiting] = deque()
        self._chars = 0
        self._changed = threading.Condition()
        self._closed = False
        self._child: _Child | None = None
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Of the child."""
        child = self._child
        return None if child is None else child.pid

    def submit(self, texts: Texts, metrics: Sequence[str]) -> "asyncio.Future[Scores | None]":
        """Scores by the card's name, or None where there are none: dropped or lost. Call it in an event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Scores | None] = loop.create_future()
        with self._changed:
            full = len(self._waiting) >= self._limit or self._chars + texts.chars > _CHARS
            if full or self._closed:
                self.dropped += 1
                future.set_result(None)
                return future
            self._chars += texts.chars
            self._waiting.append(_Waiting(Ask(texts, tuple(metrics)), future, loop))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="scoring", daemon=True)
                self._thread.start()
            self._changed.notify()
        return future

    def close(self) -> None:
        """End the child at once; what waits has no scores."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            child, thread = self._child, self._thread
        if child is not None:
            child.end()
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        failures = 0
        while batch := self._next():
            replies: Sequence[Scores | None] = [None] * len(batch)
            try:
                replies = self._ask(batch)
                failures, self.error = 0, None
            except (OSError, ScoringError) as error:
                failures += 1
                self.error = f"{type(error).__name__}: {error}"
                self.lost += len(batch)
            _settle(batch, replies)
            if failures:
                self._drop_child()
                self._pause(min(self._first_wait_s * 2 ** (failures - 1), _LONGEST_WAIT_S))
        self._drop_child()

    def _next(self) -> list[_Waiting]:
        """What waits, up to a batch; empty once this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                _settle(self._waiting, [None] * len(self._waiting))
                return []
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            self._chars -= sum(one.ask.texts.chars for one in batch)
            return batch

    def _ask(self, batch: Sequence[_Waiting]) -> Sequence[Scores]:
        reply = self._living().ask(packed(one.ask for one in batch), self._reply_s)
        self.faults.update(reply["faults"].keys())
        self.scored += len(batch)
        scores: Sequence[Scores] = reply["scores"]
        return scores

    def _living(self) -> "_Child":
        """One that ended with nothing to do, as by the kernel for want of memory, is started again and loses nothing."""
        if self._child is not None and not self._child.has_ended():
            return self._child
        self._drop_child()
        child = _Child(self._command)
        with self._changed:
            if self._closed:
                child.end()
                raise ScoringError("the gateway ends")
            self._child = child
        self.scorers = child.hello(self._reply_s)
        return child

    def _drop_child(self) -> None:
        with self._changed:
            child, self._child = self._child, None
        if child is not None:
            child.end()
            self.restarts += not self._closed

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)


class _Child:
    """Of one thread, but for `end`. Its complaints go nowhere: a trace could quote a text."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ONE_THREAD},
            start_new_session=True,  # Ctrl-C goes to the gateway, which ends it in order
        )
        self.pid = self._process.pid

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def hello(self, longest_s: float) -> dict[str, str]:
        found = self._read(longest_s)
        if "error" in found:
            raise ScoringError(str(found["error"]))
        scorers: dict[str, str] = found["scorers"]
        return scorers

    def ask(self, line: bytes, longest_s: float) -> dict[str, Any]:
        # A child that hangs is killed, which ends whatever waits for it here.
        timer = threading.Timer(longest_s, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            assert self._process.stdin is not None  # noqa: S101 - asked for above
            self._process.stdin.write(line)
            self._process.stdin.flush()
            return self._read(longest_s)
        finally:
            timer.cancel()

    def end(self) -> None:
        """Safe from any thread, and twice."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()

    def _read(self, longest_s: float) -> dict[str, Any]:
        timer = threading.Timer(longest_s, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            assert self._process.stdout is not None  # noqa: S101 - asked for above
            line = self._process.stdout.readline()
        except ValueError as error:  # closed meanwhile
            raise ScoringError("the scoring process was ended") from error
        finally:
            timer.cancel()
        if not line.endswith(b"\n"):
            raise ScoringError(f"the scoring process ended with code {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        return reply


def _settle(batch: Sequence[_Waiting] | deque[_Waiting], replies: Sequence[Scores | None]) -> None:
    for one, scores in zip(batch, replies, strict=True):
        with suppress(RuntimeError):  # its loop is closed: nobody waits
            one.loop.call_soon_threadsafe(_set, one.future, scores)


def _set(future: "asyncio.Future[Scores | None]", scores: Scores | None) -> None:
    if not future.done():
        future.set_result(scores)


@asynccontextmanager
async def open_scoring() -> AsyncIterator[Scoring]:
    """One for all who score in this gateway. Nothing runs before the first text."""
    scoring = Scoring()
    try:
        yield scoring
    finally:
        await asyncio.to_thread(scoring.close)
