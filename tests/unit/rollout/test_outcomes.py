from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.storage.tables import outcomes

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(engine):
    return OutcomeStore(engine)


def outcome(answer, arm="canary", user="u1", **changes):
    plain = Outcome(
        answer_id=answer,
        model="m",
        canary_id="c1",
        arm=arm,
        version_id="v2",
        user_key=user,
        at=START,
        latency_ms=100.0,
    )
    return replace(plain, **changes)


def test_a_batch_written_twice_is_stored_once_and_keeps_its_rating(store, engine):
    store.write([outcome("a1")])
    store.rate("a1", 1.0)
    store.write([outcome("a1"), outcome("a2")])
    assert store.count("c1") == {"canary": 2}
    with engine.connect() as connection:
        ratings = connection.execute(sa.select(outcomes.c.answer_id, outcomes.c.rating)).all()
    assert sorted(ratings) == [("a1", 1.0), ("a2", None)]


def test_an_unknown_answer_or_an_impossible_rating_is_refused(store):
    with pytest.raises(NotFoundError, match="nobody"):
        store.rate("nobody", 1.0)
    with pytest.raises(ValueError, match="between -1 and 1"):
        store.rate("a1", 1.5)
