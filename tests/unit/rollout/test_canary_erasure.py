"""A candidate that learned from a person who is erased while users meet it."""

import pytest
import sqlalchemy as sa

from gateway_tuning.errors import ErasedError
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.judge import judge
from gateway_tuning.storage.tables import aliases, model_versions
from tests.unit.rollout.test_canary_store import START, later, pointers, start, traffic


@pytest.fixture
def store(engine):
    with engine.begin() as connection:
        for alias, version in (("stable", "v1"), ("candidate", "v2")):
            connection.execute(
                sa.insert(aliases).values(model="m", alias=alias, version_id=version, updated_at=START)
            )
            connection.execute(
                sa.insert(model_versions).values(
                    id=version, tenant="t", model="m", base_model="b", job_key=version, provider="llama",
                    files={}, metrics={}, hyperparameters={}, created_at=START,
                )
            )  # fmt: skip
    return CanaryStore(engine)


def mark(engine):
    with engine.begin() as connection:
        connection.execute(
            sa.update(model_versions).where(model_versions.c.id == "v2").values(holds_erased_since=START)
        )


def test_a_marked_candidate_starts_no_canary(engine, store):
    mark(engine)

    with pytest.raises(ErasedError, match="v2 was trained on data of a person"):
        start(store)


def test_a_running_canary_of_a_marked_candidate_is_void_however_well_it_does(engine, store):
    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    mark(engine)

    canary, look = store.tick("c1", now=later())

    assert (canary.state, canary.share, look.decision) == ("invalid", 0.0, "invalid")
    assert "erased" in look.reasons[0]
    assert pointers(engine) == {"stable": "v1"}


def test_a_candidate_that_is_marked_while_it_is_judged_is_not_promoted(engine, store):
    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)

    def slow(*arguments):
        mark(engine)
        return judge(*arguments)

    during, _ = store.tick("c1", now=later(), judge=slow)
    after, _ = store.tick("c1", now=later(21))

    assert (during.state, after.state) == ("running", "invalid")
    assert pointers(engine) == {"stable": "v1"}
