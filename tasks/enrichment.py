"""What can be known about feedback besides what was sent."""

import logging

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.feedback.enrichment_run import EnrichmentRound, enrich_pending, open_enrichers
from gateway_tuning.feedback.enrichment_store import EnrichmentStore
from tasks.patience import BRIEF
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.enrichment")


@task(name="enrich feedback", **BRIEF | {"timeout_seconds": 3600.0})
def enrich_feedback(limit: int) -> EnrichmentRound:
    """One round; a record whose enrichment fails keeps its place and is tried again later."""
    rt = runtime()
    with open_enrichers(rt.settings) as using:
        found = enrich_pending(EnrichmentStore(rt.engine), using, limit=limit, now=now)
    told = (
        f"{found.done} enriched, {found.failed} failed and will be tried again, {found.gone} gone meanwhile"
    )
    logger.log(logging.WARNING if found.failed else logging.INFO, "%s", told)
    create_markdown_artifact(f"# Enrichment\n{told}.", key="enrichment", description=told)
    return found
