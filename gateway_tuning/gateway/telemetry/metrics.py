"""What the gateway measures of itself, for Prometheus: by model, arm and version, never by user, key or text."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway_tuning.rollout.outcomes import Outcome

_PREFIX = "gateway_tuning_gateway_"
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0)
ANSWERED = "ok"  # in the place of an error's code


@dataclass(frozen=True, slots=True)
class Condition:
    """How the gateway is, asked at each scrape. `route_age_s` is None before any routes are known."""

    outcomes_written: int
    outcomes_pending: int
    outcomes_lost: int
    route_age_s: float | None
    routes_failing: bool
    endpoints_refused: int


class Metrics:
    """One registry for one app: nothing is shared with other apps of the process."""

    def __init__(self, condition: Callable[[], Condition]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_OfCondition(condition))
        self._answered: dict[tuple[str, str, str, str], tuple[Counter, Histogram, Counter, Counter]] = {}
        labels = ["model", "arm", "version"]
        self._requests = Counter(
            f"{_PREFIX}requests",
            f"Chat requests by what came of them: '{ANSWERED}' or the code of the error",
            [*labels, "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            f"{_PREFIX}request_seconds",
            "From the request to the end of the answer or the failure",
            labels,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._first_token = Histogram(
            f"{_PREFIX}first_token_seconds",
            "From the request to the first word or call of a tool of a streamed answer",
            labels,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._tokens = Counter(
            f"{_PREFIX}tokens",
            "Tokens that the models report; an answer that reports none adds none",
            [*labels, "kind"],
            registry=self.registry,
        )
        self._fallbacks = Counter(
            f"{_PREFIX}fallbacks",
            "Requests that the canary failed, by what the stable version made of them",
            ["model", "version", "result"],
            registry=self.registry,
        )
        self._limited = Counter(
            f"{_PREFIX}limited",
            "Requests refused by the limit of a key",
            ["limit"],
            registry=self.registry,
        )

    def ended(self, outcome: Outcome, *, fell_back: bool) -> None:
        code = outcome.error or ANSWERED
        key = (outcome.model, outcome.arm, outcome.version_id, code)
        known = self._answered.get(key)
        if known is None:
            # Models, versions and codes are few, so what is remembered here is bounded.
            known = self._answered[key] = (
                self._requests.labels(*key),
                self._seconds.labels(*key[:3]),
                self._tokens.labels(*key[:3], "prompt"),
                self._tokens.labels(*key[:3], "completion"),
            )
        requests, seconds, prompt, completion = known
        requests.inc()
        seconds.observe(outcome.latency_ms / 1000.0)
        if outcome.prompt_tokens:
            prompt.inc(outcome.prompt_tokens)
        if outcome.completion_tokens:
            completion.inc(outcome.completion_tokens)
        if outcome.first_token_ms is not None:
            self._first_token.labels(*key[:3]).observe(outcome.first_token_ms / 1000.0)
        if fell_back:
            result = "failed" if outcome.answered_by is None else "answered"
            self._fallbacks.labels(outcome.model, outcome.version_id, result).inc()

    def limited(self, limit: str) -> None:
        """A request was refused by a limit, `requests` or `tokens`."""
        self._limited.labels(limit).inc()

    def render(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)


class _OfCondition(Collector):
    def __init__(self, condition: Callable[[], Condition]) -> None:
        self._condition = condition

    def collect(self) -> Iterable[Metric]:
        now = self._condition()
        yield CounterMetricFamily(f"{_PREFIX}outcomes_written", "Outcomes in the store", now.outcomes_written)
        yield CounterMetricFamily(
            f"{_PREFIX}outcomes_lost", "Outcomes that no longer found room in memory", now.outcomes_lost
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}outcomes_pending", "Outcomes in memory, not in the store yet", now.outcomes_pending
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}routes_failing",
            "1 while the routes cannot be read and old ones serve",
            now.routes_failing,
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}endpoints_refused",
            "Endpoints of served versions that are not allowed",
            now.endpoints_refused,
        )
        if now.route_age_s is not None:
            yield GaugeMetricFamily(
                f"{_PREFIX}routes_age_seconds", "Since the store last said what is served", now.route_age_s
            )
