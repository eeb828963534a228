import pytest
import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.rollout.outcomes import OutcomeStore
from gateway_tuning.storage.tables import outcomes
from tests.rollouts import outcome


@pytest.fixture
def store(engine):
    return OutcomeStore(engine)


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
