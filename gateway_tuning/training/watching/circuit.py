"""A circuit breaker: who does not answer is left alone for a while, then asked by one caller alone."""

import threading
from dataclasses import dataclass, field

FAILURES = 5
COOLDOWN_S = 30.0
LONGEST_COOLDOWN_S = 600.0


@dataclass(slots=True)
class Circuit:
    """Of one provider. Times are monotonic seconds; shared by the threads of a process.

    Open after `failures` in a row or when a provider says when to come back; then half open: one caller probes, and
    the others wait for what it finds. Each probe that fails doubles the cooldown.
    """

    failures: int = FAILURES
    cooldown_s: float = COOLDOWN_S
    _failed: int = 0
    _open_until: float = 0.0
    _probing_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def wait(self, now: float) -> float:
        """Seconds until it may be asked; 0 lets the caller through, and while half open the caller is the probe."""
        with self._lock:
            if now < self._open_until:
                return self._open_until - now
            if self._failed < self.failures:
                return 0.0
            if now < self._probing_until:
                return self._probing_until - now
            self._probing_until = (
                now + self.cooldown_s
            )  # a probe that never comes back must not shut it for ever
            return 0.0

    def answered(self) -> None:
        """Whatever the answer was: a refusal is one too."""
        with self._lock:
            self._failed, self._open_until, self._probing_until = 0, 0.0, 0.0

    def failed(self, now: float, *, retry_after_s: float | None = None) -> None:
        with self._lock:
            self._failed += 1
            self._probing_until = 0.0
            over = self._failed - self.failures
            if over >= 0:
                cooldown = min(LONGEST_COOLDOWN_S, self.cooldown_s * 2 ** min(over, 16))
                self._open_until = max(self._open_until, now + cooldown)
            if retry_after_s is not None:
                self._open_until = max(self._open_until, now + retry_after_s)

    @property
    def is_closed(self) -> bool:
        with self._lock:
            return self._failed < self.failures and self._open_until == 0.0


_circuits: dict[str, Circuit] = {}
_circuits_lock = threading.Lock()


def circuit_of(provider: str) -> Circuit:
    """One a provider and process."""
    with _circuits_lock:
        return _circuits.setdefault(provider, Circuit())
