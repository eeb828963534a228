import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway_tuning.errors import NotFoundError
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore

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


def statistics(store):
    return store.arm_statistics("c1", failed_request_seconds=60)


def test_requests_are_summed_by_user_and_arm(store):
    store.write(
        [
            outcome("a1", latency_ms=100.0),
            outcome("a2", latency_ms=400.0, error="timeout"),
            outcome("a3", user="u2", latency_ms=50.0),
            outcome("a4", arm="control", user="u3"),
            outcome("a5", arm="stable", user="u4"),
            outcome("a6", canary_id="other", user="u5"),
        ]
    )
    found, _ = statistics(store)
    errors, control_errors = found.sums["error_rate"]
    assert sorted(zip(errors.n, errors.total, strict=True)) == [(1.0, 0.0), (2.0, 1.0)]
    assert list(control_errors.n) == [1.0]
    assert (found.canary_users, found.control_users) == (2, 1)


def test_a_failed_request_counts_as_slow_as_the_timeout_however_fast_it_failed(store):
    store.write(
        [outcome("a1", error="unreachable", latency_ms=2.0), outcome("a2", user="u2", latency_ms=0.0)]
    )
    latency, _ = statistics(store)[0].sums["latency"]
    assert sorted(latency.total) == pytest.approx([math.log(0.001), math.log(60_000)])


def test_only_rated_answers_of_users_who_rated_count_as_feedback(store):
    store.write([outcome("a1"), outcome("a2"), outcome("a3", user="u2"), outcome("a4", user="u3")])
    store.rate("a1", 1.0)
    store.rate("a2", 0.0)  # neutral is not positive
    store.rate("a3", -0.5)
    feedback, control = statistics(store)[0].sums["user_feedback"]
    assert sorted(zip(feedback.n, feedback.total, strict=True)) == [(1.0, 0.0), (2.0, 1.0)]
    assert control.users == 0


def test_freshness_counts_the_control_users_seen_since_the_canary_fell_silent(store):
    late = START + timedelta(hours=1)
    store.write(
        [
            outcome("a1"),
            outcome("a2", arm="control", user="u2", at=late),
            outcome("a3", arm="control", user="u3", at=late),
            outcome("a4", arm="control", user="u4", at=START - timedelta(hours=1)),
        ]
    )
    _, freshness = statistics(store)
    assert (freshness.canary, freshness.control, freshness.control_users_since) == (START, late, 2)


def test_a_batch_written_twice_is_stored_once_and_keeps_its_rating(store):
    store.write([outcome("a1")])
    store.rate("a1", 1.0)
    store.write([outcome("a1"), outcome("a2")])
    found, _ = statistics(store)
    assert found.sums["error_rate"][0].n.sum() == 2
    assert found.sums["user_feedback"][0].n.sum() == 1


def test_simulated_requests_are_counted(store):
    store.write([outcome("a1", simulated=True), outcome("a2")])
    assert statistics(store)[0].simulated_requests == 1
    assert store.count("c1") == {"canary": 2}


def test_an_unknown_answer_or_an_impossible_rating_is_refused(store):
    with pytest.raises(NotFoundError, match="nobody"):
        store.rate("nobody", 1.0)
    with pytest.raises(ValueError, match="between -1 and 1"):
        store.rate("a1", 1.5)


def test_a_canary_without_outcomes_has_empty_statistics(store):
    found, freshness = statistics(store)
    assert (found.canary_users, found.control_users) == (0, 0)
    assert (freshness.canary, freshness.control, freshness.control_users_since) == (None, None, 0)
