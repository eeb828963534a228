"""What the service measures of itself: by route template, method and status, never by tenant or person."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """One registry for one app: nothing is shared with other apps of the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "gateway_tuning_api_requests",
            "Answered requests",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "gateway_tuning_api_request_seconds",
            "From the request's head to the answer's last byte",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.refused_logins = Counter(
            "gateway_tuning_api_refused_logins",
            "Requests with credentials that open nothing",
            registry=self.registry,
        )
        self.denied_calls = Counter(
            "gateway_tuning_api_denied_calls", "Requests whose role grants too little", registry=self.registry
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        # Routes are declared and statuses few, so what is remembered here is bounded.
        key = (method if method in _METHODS else "OTHER", route, status)
        if key not in self._known:
            self._known[key] = (
                self._requests.labels(key[0], route, str(status)),
                self._seconds.labels(key[0], route),
            )
        count, duration = self._known[key]
        count.inc()
        duration.observe(seconds)

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)
