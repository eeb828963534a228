"""What is written of an outcome is what is read back, on each database."""

from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.storage.tables import outcomes
from tests.conftest import NOW

FULL = Outcome(
    answer_id="a1", model="assistant", canary_id="c1", arm="canary", version_id="v2", user_key="ab" * 32,
    at=NOW + timedelta(microseconds=7), latency_ms=12.345678901234, error='a "code"', prompt_tokens=7,
    completion_tokens=(1 << 31) - 1, prompt_chars=0, answer_chars=5, refused=True, rating=-0.25, simulated=True,
    relevance=1 / 3, first_token_ms=0.1, answered_by="v1", key_id="k1",
)  # fmt: skip
BARE = Outcome(
    answer_id="a2", model="mödel", canary_id=None, arm="stable", version_id="v1", user_key="u", at=NOW, latency_ms=1e-3,
)  # fmt: skip


def rows(engine):
    with engine.connect() as connection:
        return {row["answer_id"]: dict(row) for row in connection.execute(sa.select(outcomes)).mappings()}


def test_every_field_comes_back_as_it_was_and_the_unknown_stays_unknown(engine):
    OutcomeStore(engine).write([FULL, BARE])

    assert rows(engine) == {"a1": asdict(FULL), "a2": asdict(BARE)}


def test_an_outcome_has_a_field_for_each_column():
    assert {field.name for field in fields(Outcome)} == {column.name for column in outcomes.columns}


def test_rows_are_found_by_time_among_those_that_were_written_otherwise(engine):
    with engine.begin() as connection:
        connection.execute(outcomes.insert().values(asdict(BARE)))
    OutcomeStore(engine).write([replace(BARE, answer_id="later", at=NOW + timedelta(seconds=1))])
    with engine.connect() as connection:
        found = connection.execute(sa.select(outcomes.c.answer_id).order_by(outcomes.c.at)).scalars().all()

    assert found == ["a2", "later"]


def test_a_time_of_another_zone_is_the_same_moment(engine):
    local = NOW.astimezone(timezone(timedelta(hours=5)))
    OutcomeStore(engine).write([replace(BARE, at=local)])

    assert rows(engine)["a2"]["at"] == NOW


def test_a_time_without_a_zone_is_refused_and_nothing_is_written(engine):
    with pytest.raises(ValueError, match="has no time zone"):
        OutcomeStore(engine).write([FULL, replace(BARE, at=datetime(2026, 1, 1))])  # noqa: DTZ001 - the fault

    assert rows(engine) == {}
