from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.evaluation.scoring import catalog
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.rollout.relevance import is_sampled, relevance_version
from gateway_tuning.storage.tables import outcomes


def outcome(answer_id, **fields):
    usual = {
        "model": "m",
        "canary_id": "c",
        "arm": "canary",
        "version_id": "v",
        "user_key": "u",
        "latency_ms": 1.0,
    }
    return Outcome(answer_id=answer_id, at=datetime(2026, 1, 1, tzinfo=UTC), **(usual | fields))


def test_the_version_is_that_of_the_scorer_that_scores():
    loaded = catalog.scorer("relevance")

    assert relevance_version() == f"{loaded.card.name} {loaded.version}"


def test_a_sample_has_about_the_share_that_was_asked_for():
    sampled = sum(is_sampled(f"answer-{number}", 0.1) for number in range(10_000))

    assert 850 < sampled < 1_150


@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_every_answer_of_a_smaller_one(answer_id, one, other):
    smaller, larger = sorted((one, other))

    assert is_sampled(answer_id, larger) >= is_sampled(answer_id, smaller)
    assert not is_sampled(answer_id, 0.0)
    assert is_sampled(answer_id, 1.0)


def test_relevance_is_written_to_outcomes_and_what_has_none_yet_is_told(engine):
    store = OutcomeStore(engine)
    store.write([outcome("a"), outcome("b")])

    assert store.note_relevance({"a": 0.25, "later": 0.5}) == {"later"}
    assert store.note_relevance({}) == set()

    with engine.connect() as connection:
        rows = connection.execute(sa.select(outcomes.c.answer_id, outcomes.c.relevance)).all()
    assert dict(row._tuple() for row in rows) == {"a": 0.25, "b": None}


def test_a_relevance_outside_of_its_range_is_refused(engine):
    with pytest.raises(ValueError, match="between 0 and 1"):
        OutcomeStore(engine).note_relevance({"a": 1.5})
