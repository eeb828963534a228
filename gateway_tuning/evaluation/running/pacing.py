"""How many requests are under way at a time, and how a server that has too many is given rest."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime

LONGEST_REST_S = 120.0  # a server that asks for more is asked again all the same, and may then fail
_FEWEST = 1.0


class Pace:
    """Slots for requests, given in the order in which they are asked for; of one event loop.

    Additive increase and multiplicative decrease (Chiu and Jain 1989, doi:10.1016/0169-7552(89)90019-6): a server
    that refuses halves the slots, down to one; as many good answers as there are slots give one back, up to
    `concurrency`. Answers to requests from before the last halving say nothing about what it did, so a burst of
    refusals halves once.
    """

    def __init__(self, concurrency: int) -> None:
        if concurrency < 1:
            raise ValueError(f"{concurrency} requests at a time ask nothing; give 1 or more")
        self._most = concurrency
        self._slots = float(concurrency)
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._holders: dict[asyncio.Task[object] | None, int] = {}  # the count of halvings when it entered
        self._halvings = 0
        self._rest_until = 0.0  # in the loop's time
        self._end_of_rest: asyncio.TimerHandle | None = None

    @property
    def slots(self) -> int:
        """How many may be under way now."""
        return int(self._slots)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Waits for a free slot, and for the end of a rest. A request that was refused leaves and asks for another."""
        await self._enter()
        task = asyncio.current_task()
        entered = self._holders[task] = self._halvings
        try:
            yield
        finally:
            self._holders.pop(task, None)
            self._taken -= 1
            if entered == self._halvings:
                self._slots = min(float(self._most), self._slots + 1 / self._slots)
            self._hand_out()

    def slow_down(self, retry_after_s: float | None = None) -> None:
        """The server had too many requests: call it inside the slot of one that was refused.

        Nobody gets a slot for `retry_after_s`, or for `LONGEST_REST_S` where the server asks for more.
        """
        if self._holders.get(asyncio.current_task(), self._halvings) == self._halvings:
            self._halvings += 1
            self._slots = max(_FEWEST, self._slots / 2)
        if retry_after_s is not None:
            until = asyncio.get_running_loop().time() + min(retry_after_s, LONGEST_REST_S)
            self._rest_until = max(self._rest_until, until)

    async def _enter(self) -> None:
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        self._hand_out()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it had been given one
                self._taken -= 1
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        loop = asyncio.get_running_loop()
        if self._rest_until > loop.time():
            if self._end_of_rest is not None:
                self._end_of_rest.cancel()
            self._end_of_rest = loop.call_at(self._rest_until, self._hand_out)
            return
        while self._waiting and self._taken < self.slots:
            next_one = self._waiting.popleft()
            if not next_one.done():
                self._taken += 1
                next_one.set_result(None)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """What a refusal says of when to ask again (RFC 9110 section 10.2.3, or OpenAI's milliseconds); None: nothing."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    told = headers.get("retry-after")
    seconds = _number(told)
    if seconds is not None or told is None:
        return seconds
    try:
        return max(0.0, (parsedate_to_datetime(told) - now).total_seconds())
    except (TypeError, ValueError):  # no date, or one without a time zone
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
