from datetime import UTC, datetime, timedelta

import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.enrichment import Enrichment, EnrichmentError, TextEnricher
from gateway_tuning.feedback.enrichment_run import EnrichmentRound, enrich_pending, open_enrichers
from gateway_tuning.feedback.enrichment_store import EnrichmentStore
from gateway_tuning.feedback.receipts import receipt
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.settings import Settings

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Moody:
    """Fails until it is told to work."""

    name = "moody"
    works = False

    def enrich(self, record):
        del record
        if not self.works:
            raise EnrichmentError("out for lunch")
        return Enrichment(user_segment="consumer")


def test_a_round_takes_what_is_new_up_to_its_limit_and_the_next_goes_on(engine, make_record):
    FeedbackStore(engine).add([make_record(n) for n in range(1, 8)], NOW)
    store = EnrichmentStore(engine)

    rounds = [enrich_pending(store, [TextEnricher()], limit=5, now=lambda: NOW) for _ in range(3)]

    assert [found.seen for found in rounds] == [5, 2, 0]
    assert store.counts("default").done == 7


def test_a_failure_shows_in_the_receipt_harms_nothing_and_is_tried_again(engine, make_record):
    FeedbackStore(engine).add([make_record(1)], NOW)
    store, moody = EnrichmentStore(engine), Moody()

    first = enrich_pending(store, [TextEnricher(), moody], limit=10, now=lambda: NOW)
    told = receipt(engine, "default", "fb-1")
    moody.works = True
    later = enrich_pending(store, [TextEnricher(), moody], limit=10, now=lambda: NOW + timedelta(minutes=2))

    assert first == EnrichmentRound(done=0, failed=1, gone=0)
    assert told.state == "stored"
    assert (told.enrichment["status"], told.enrichment["errors"]) == ("failed", ["moody: out for lunch"])
    assert told.enrichment["prompt_tokens"] > 0
    assert later == EnrichmentRound(done=1, failed=0, gone=0)
    assert receipt(engine, "default", "fb-1").enrichment["user_segment"] == "consumer"


def test_a_profile_service_is_asked_where_one_is_named():
    def names(url):
        with open_enrichers(Settings(_env_file=None, enrichment_profile_url=url)) as using:
            return [one.name for one in using]

    assert names(None) == ["text"]
    assert names("http://127.0.0.1:1/users/{user_id}") == ["text", "profile"]
    with pytest.raises(ConfigurationError):
        names("http://{user_id}/")
