"""How long to wait between two looks and between two tries: capped exponential backoff with full jitter.

Full jitter (a uniform draw between zero and the capped step) keeps many watchers of one provider apart; see
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Time:
    """The clocks, the wait and the chance that a watcher lives by. `draw` is uniform in [0, 1)."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    draw: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. The n-th wait is drawn from [`least_s`, min(`longest_s`, `first_s` * 2**n)]."""

    first_s: float
    longest_s: float
    least_s: float = 0.0

    def wait(self, n: int, draw: float) -> float:
        """`n` counts from 0."""
        step = self.longest_s if n >= _LONGEST_DOUBLING else min(self.longest_s, self.first_s * 2**n)
        return self.least_s + draw * max(0.0, step - self.least_s)


_LONGEST_DOUBLING = 64  # 2**n of more is no float that means anything

BESIDE_US = Pace(first_s=0.2, longest_s=1.0, least_s=0.05)
FAR_AWAY = Pace(first_s=2.0, longest_s=60.0, least_s=0.5)
RETRIES = Pace(first_s=1.0, longest_s=60.0)
