"""What routes work with, built once when the server starts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import sqlalchemy as sa
from anyio import CapacityLimiter
from fastapi import Depends, Request

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.access.keys import KeyStore
from gateway_tuning.access.tokens import TokenVerifier
from gateway_tuning.api.dashboard.session import Sessions
from gateway_tuning.api.metrics import Metrics
from gateway_tuning.api.rates import RateLimits
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.ingest_queue import IngestQueue
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.submission import TokenPolicy
from gateway_tuning.feedback.threshold import ThresholdStore
from gateway_tuning.feedback.threshold_watch import ThresholdWatch
from gateway_tuning.observability.traces import Tracing
from gateway_tuning.runs.orchestrator import Orchestrator
from gateway_tuning.settings import Settings
from gateway_tuning.storage.object_store import ObjectStore


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    engine: sa.Engine
    objects: ObjectStore
    keys: KeyStore
    tokens: TokenVerifier | None  # absent: API keys alone open the API
    audit: AuditLog
    ingest: IngestQueue
    threshold_watch: ThresholdWatch
    token_policy: TokenPolicy
    rates: RateLimits
    metrics: Metrics
    sessions: Sessions
    orchestrator: Orchestrator | None = None  # absent: runs can be read, not started
    tracing: Tracing | None = None  # absent: no collector is named
    now: Callable[[], datetime] = field(default=_now)
    # However many callers come with keys not seen before, the store is asked for so many at a time.
    lookups: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(8))
    verifications: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))

    def close(self) -> None:
        """Write what is still to be written, and let go of the store."""
        self.ingest.close()
        self.threshold_watch.close()
        self.keys.close()
        self.engine.dispose()
        if self.tracing is not None:
            self.tracing.close()


def build_services(
    settings: Settings,
    engine: sa.Engine,
    *,
    orchestrator: Orchestrator | None = None,
    tracing: Tracing | None = None,
    now: Callable[[], datetime] = _now,
) -> Services:
    """Raises ConfigurationError when the settings for tokens or sessions are incomplete or weak."""
    thresholds = ThresholdStore(
        engine, default_count=settings.feedback_threshold, default_hours=settings.threshold_hours
    )
    watch = ThresholdWatch(thresholds, orchestrator)
    return Services(
        settings=settings,
        engine=engine,
        objects=ObjectStore.from_settings(settings),
        keys=KeyStore(engine),
        tokens=TokenVerifier.from_settings(settings),
        audit=AuditLog(engine),
        ingest=IngestQueue(FeedbackStore(engine), on_commit=lambda tenants: watch.touch(*tenants)),
        threshold_watch=watch,
        token_policy=_token_policy(settings),
        rates=RateLimits(settings),
        metrics=Metrics(),
        sessions=Sessions.from_settings(settings),
        orchestrator=orchestrator,
        tracing=tracing,
        now=now,
    )


def _token_policy(settings: Settings) -> TokenPolicy:
    key = settings.rating_token_key
    if key is None and settings.require_rating_tokens:
        raise ConfigurationError(
            "Rating tokens are required and cannot be checked: set GATEWAY_TUNING_RATING_TOKEN_KEY, here and for the "
            "gateway"
        )
    return TokenPolicy(
        None if key is None else key.get_secret_value().encode(), settings.require_rating_tokens
    )


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _services(request: Request) -> Services:
    return services_of(request)


CallServices = Annotated[Services, Depends(_services)]
