"""How often who may call, counted in this process: with several processes the limits add up."""

import math
import time
from enum import StrEnum

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from gateway_tuning.settings import Settings

_MOST_AHEAD = 50
_MOST_CALLERS = 10_000  # remembered at a time


class RateClass(StrEnum):
    FEEDBACK = "feedback"
    OTHER = "other"


class RateLimits:
    """A sliding window counter: two numbers a caller, however high the limit."""

    def __init__(self, settings: Settings) -> None:
        self._counter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._limits = {
            RateClass.FEEDBACK: RateLimitItemPerMinute(settings.feedback_per_minute),
            RateClass.OTHER: RateLimitItemPerMinute(settings.requests_per_minute),
        }
        self._booked: dict[tuple[str, RateClass], int] = {}
        self._failures = RateLimitItemPerMinute(settings.failed_logins_per_minute)

    def hit(self, principal: str, rate: RateClass) -> int | None:
        """Count a call. Returns None, or the seconds to wait when it is one too many.

        Calls are booked ahead by a hundredth of the limit, at most 50: counting costs more than a lean call does.
        What was booked stays booked, so by that much a caller who paused may pass the limit once.
        """
        booked = self._booked.get((principal, rate), 0)
        if booked:
            self._booked[principal, rate] = booked - 1
            return None
        item = self._limits[rate]
        ahead = min(_MOST_AHEAD, item.amount // 100)
        if ahead and self._counter.hit(item, rate, principal, cost=ahead + 1):
            if len(self._booked) >= _MOST_CALLERS:
                self._booked.clear()
            self._booked[principal, rate] = ahead
            return None
        if self._counter.hit(item, rate, principal):
            return None
        return self._wait(item, rate, principal)

    def fail(self, who: str) -> None:
        """Count a refused login of an address, or a denied call of a principal."""
        self._counter.hit(self._failures, "failed", who)

    def failed_too_often(self, who: str) -> int | None:
        if self._counter.test(self._failures, "failed", who):
            return None
        return self._wait(self._failures, "failed", who)

    def _wait(self, item: RateLimitItemPerMinute, *key: str) -> int:
        ends = self._counter.get_window_stats(item, *key).reset_time
        return max(1, math.ceil(ends - time.time()))
