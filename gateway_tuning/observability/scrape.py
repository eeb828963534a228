"""The loop's figures as Prometheus scrapes them, read at most every so often."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway_tuning.observability.figures import Figure, one

logger = logging.getLogger("gateway_tuning.observability")

PREFIX = "gateway_tuning_loop_"
FRESH_S = 15.0


class LoopMetrics:
    """Safe to use from several threads; one of them reads while the others wait for what it finds.

    A store that cannot be read takes its figures along: old ones would look as if all were well.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[Figure]],
        *,
        fresh_s: float = FRESH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._fresh_s = fresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._text: tuple[float, bytes] | None = None

    def text(self) -> bytes:
        """In Prometheus's text format. Reads the store; not for an event loop."""
        with self._lock:
            if self._text is None or self._clock() - self._text[0] >= self._fresh_s:
                self._text = (self._clock(), self._render())
            return self._text[1]

    def _render(self) -> bytes:
        started = time.perf_counter()
        try:
            figures, well = self._read(), 1.0
        except Exception:
            logger.exception("the loop's figures could not be read")
            figures, well = (), 0.0
        told = [
            *figures,
            one("figures_readable", "0 while the store cannot be read", well),
            one("figures_read_seconds", "How long the last reading took", time.perf_counter() - started),
        ]
        registry = CollectorRegistry()
        registry.register(_Figures(told))
        return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures = figures

    def collect(self) -> "list[Metric]":
        families: list[Metric] = []
        for figure in self._figures:
            family = GaugeMetricFamily(f"{PREFIX}{figure.name}", figure.told, labels=figure.labels)
            for sample in figure.samples:
                family.add_metric(sample.labels, sample.value)
            families.append(family)
        return families
