"""Language, tokens, segment and preferences of new feedback. Scheduled every few minutes; ingestion never waits."""

from dataclasses import asdict

from prefect import flow

from tasks import enrichment


@flow(name="enrich-feedback", timeout_seconds=3600)
def enrich_feedback(limit: int = 5000) -> dict[str, int]:
    """Enrich what came in since the last run, and what failed before.

    Args:
        limit: records at most; the next run goes on.
    """
    return asdict(enrichment.enrich_feedback(limit))
