"""Everybody who looks at answers that have been given, opened and closed with the gateway."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import sqlalchemy as sa
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway_tuning.gateway.door.upstreams import Upstreams
from gateway_tuning.gateway.observing import Observer
from gateway_tuning.gateway.scoring import RelevanceObserver, Scoring, open_relevance, open_scoring
from gateway_tuning.gateway.shadow import ShadowObserver, open_shadow


@dataclass(frozen=True, slots=True)
class Observers(Collector):
    scoring: Scoring
    relevance: RelevanceObserver
    shadow: ShadowObserver

    @property
    def all(self) -> tuple[Observer, ...]:
        return self.relevance, self.shadow

    @property
    def errors(self) -> tuple[str | None, ...]:
        """Why something is not scored, written or mirrored now."""
        return self.scoring.error, self.relevance.error, self.shadow.error

    def condition(self) -> dict[str, Any]:
        """As JSON, without a text. What was not taken in time is counted here."""
        scoring, relevance, shadow = self.scoring, self.relevance, self.shadow
        return {
            "scoring": {
                "scorers": dict(scoring.scorers),
                "scored": scoring.scored,
                "dropped": scoring.dropped,
                "lost": scoring.lost,
                "restarts": scoring.restarts,
                "faults": dict(scoring.faults),
                "error": scoring.error,
            },
            "relevance": {
                "written": relevance.written,
                "lost": relevance.lost,
                "skipped": dict(relevance.skipped),
                "error": relevance.error,
            },
            "shadow": {
                "running": shadow.running,
                "mirrored": shadow.mirrored,
                "dropped": shadow.dropped,
                "broken": shadow.broken,
                "error": shadow.error,
            },
        }

    def collect(self) -> Iterator[Metric]:
        """For Prometheus: `Observers` is a collector."""
        scoring, relevance, shadow = self.scoring, self.relevance, self.shadow
        skipped = {f"skipped: {reason}": count for reason, count in relevance.skipped.items()}
        yield _counted(
            "scoring_texts",
            "Texts by what came of them",
            {"scored": scoring.scored, "dropped": scoring.dropped, "lost": scoring.lost},
        )
        yield _counted("scoring_restarts", "Scoring processes that ended", {"ended": scoring.restarts})
        yield _counted(
            "relevance",
            "Sampled answers by what came of their relevance",
            {"written": relevance.written, "lost": relevance.lost, **skipped},
        )
        yield _counted(
            "shadow_requests",
            "Sampled requests by what came of their mirroring",
            {"mirrored": shadow.mirrored, "dropped": shadow.dropped, "broken": shadow.broken},
        )


def _counted(name: str, told: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"gateway_tuning_gateway_{name}", told, labels=["result"])
    for result, count in sorted(counts.items()):
        family.add_metric([result], count)
    return family


@asynccontextmanager
async def open_observers(
    engine: sa.Engine,
    session: aiohttp.ClientSession,
    upstreams: Upstreams | None,
    *,
    relevance_share: float,
    timeout_s: float,
    interval_s: float,
) -> AsyncIterator[Observers]:
    """One scoring process serves them all, and runs from the first sampled answer on.

    `upstreams` as `create_app` has them: shadows ask nobody else either. Shadows are read, and scores written, every
    `interval_s`.
    """
    allowed = Upstreams.parse(None) if upstreams is None else upstreams
    async with (
        open_scoring() as scoring,
        open_relevance(engine, scoring, share=relevance_share, interval_s=interval_s) as relevance,
        open_shadow(engine, session, scoring, allowed, timeout_s=timeout_s, interval_s=interval_s) as shadow,
    ):
        yield Observers(scoring, relevance, shadow)
