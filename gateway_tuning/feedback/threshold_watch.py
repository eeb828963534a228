"""Looks at a tenant's threshold soon after its feedback was committed, without making anybody wait."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from gateway_tuning.feedback.threshold import ThresholdStore
from gateway_tuning.runs.orchestrator import Orchestrator

_log = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class ThresholdWatch:
    """One thread. However often a tenant is touched, it is looked at once an interval.

    Nothing here is fatal: what could not be announced stands in the store with its error, and the scheduled check
    announces it. `failures` counts looks and announcements that came to nothing.
    """

    def __init__(
        self,
        store: ThresholdStore,
        orchestrator: Orchestrator | None,
        *,
        interval_s: float = 0.5,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self.failures = 0
        self._store = store
        self._orchestrator = orchestrator
        self._interval_s = interval_s
        self._now = now
        self._touched: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="threshold-watch", daemon=True)
        self._thread.start()

    def touch(self, *tenants: str) -> None:
        with self._lock:
            self._touched.update(tenants)
        self._wake.set()

    def close(self) -> None:
        """Look at what was touched, and end."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            closing = self._closing.wait(self._interval_s)
            with self._lock:
                touched, self._touched = sorted(self._touched), set()
            for tenant in touched:
                self._look(tenant)
            if closing:
                return

    def _look(self, tenant: str) -> None:
        try:
            crossings = self._store.reached(tenant, self._now())
            if self._orchestrator is not None:
                self.failures += self._store.announce(crossings, self._orchestrator, self._now())
        except Exception as error:  # noqa: BLE001 - the next touch or the scheduled check looks again
            self.failures += 1
            _log.warning("the threshold of %s could not be checked: %s", tenant, type(error).__name__)
