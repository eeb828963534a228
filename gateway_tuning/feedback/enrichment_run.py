"""One round over what waits to be enriched, beside ingestion and never in its way."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from gateway_tuning.feedback.enrichment import Enricher, ProfileEnricher, TextEnricher, enrich
from gateway_tuning.feedback.enrichment_store import EnrichmentStore
from gateway_tuning.settings import Settings

PROFILE_TIMEOUT_S = 2.0
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class EnrichmentRound:
    """`failed` are tried again later; `gone` were erased or replaced meanwhile."""

    done: int
    failed: int
    gone: int

    @property
    def seen(self) -> int:
        return self.done + self.failed + self.gone


@contextmanager
def open_enrichers(settings: Settings) -> Iterator[list[Enricher]]:
    """Raises ConfigurationError for a profile URL that cannot work."""
    if settings.enrichment_profile_url is None:
        yield [TextEnricher()]
        return
    secret = settings.enrichment_profile_key
    key = None if secret is None else secret.get_secret_value()
    profile = ProfileEnricher(settings.enrichment_profile_url, key, PROFILE_TIMEOUT_S)
    try:
        yield [TextEnricher(), profile]
    finally:
        profile.close()


def enrich_pending(
    store: EnrichmentStore,
    using: Sequence[Enricher],
    *,
    limit: int,
    now: Callable[[], datetime],
    timeout: float = 2 * PROFILE_TIMEOUT_S,
) -> EnrichmentRound:
    """At most `limit` records, `timeout` seconds for each. What a killed round left is taken up by the next."""
    done = failed = gone = 0
    while done + failed + gone < limit:
        pending = store.pending(min(_CHUNK, limit - done - failed - gone), now())
        if not pending:
            break
        for item in pending:
            result = enrich(item.record, using, timeout)
            if not store.record(item, result, now()):
                gone += 1
            elif result.errors:
                failed += 1
            else:
                done += 1
    return EnrichmentRound(done, failed, gone)
