import math
from datetime import timedelta

import pytest

from gateway_tuning.rollout.arm_statistics import arm_statistics
from gateway_tuning.rollout.outcomes import OutcomeStore
from gateway_tuning.rollout.sequential import UserSums
from tests.rollouts import START, outcome


@pytest.fixture
def store(engine):
    return OutcomeStore(engine)


@pytest.fixture
def found(engine, store):
    def write_and_sum(*outcomes):
        store.write(outcomes)
        return arm_statistics(engine, "c1", failed_request_seconds=60)

    return write_and_sum


def test_requests_are_summed_by_user_and_arm(found):
    statistics, _ = found(
        outcome("a1", latency_ms=100.0),
        outcome("a2", latency_ms=400.0, error="timeout"),
        outcome("a3", user="u2", latency_ms=50.0),
        outcome("a4", arm="control", user="u3"),
        outcome("a5", arm="stable", user="u4"),
        outcome("a6", canary_id="other", user="u5"),
    )
    assert statistics.sums["error_rate"] == (UserSums.of([2, 1], [1, 0]), UserSums.of([1], [0]))
    assert (statistics.canary_users, statistics.control_users) == (2, 1)


def test_a_failed_request_counts_as_slow_as_the_timeout_however_fast_it_failed(found):
    statistics, _ = found(
        outcome("a1", error="unreachable", latency_ms=2.0), outcome("a2", user="u2", latency_ms=0.0)
    )
    latency, _ = statistics.sums["latency"]
    logs = [math.log(0.001), math.log(60_000)]
    assert latency.t == pytest.approx(sum(logs))
    assert latency.tt == pytest.approx(sum(log**2 for log in logs))


def test_only_rated_answers_of_users_who_rated_count_as_feedback(found):
    statistics, _ = found(
        outcome("a1", rating=1.0),
        outcome("a2", rating=0.0),  # neutral is not positive
        outcome("a3", user="u2", rating=-0.5),
        outcome("a4", user="u3"),
    )
    assert statistics.sums["user_feedback"] == (UserSums.of([2, 1], [1, 0]), UserSums.of([], []))
    assert statistics.sums["feedback_rate"][0] == UserSums.of([2, 1, 1], [2, 1, 0])


def test_tokens_and_relevance_are_of_answers_alone(found):
    statistics, _ = found(
        outcome("a1", completion_tokens=100, relevance=0.5),
        outcome("a2", completion_tokens=0),
        outcome("a3", user="u2", completion_tokens=7, relevance=0.1, error="broken"),
        outcome("a4", user="u3"),
    )
    tokens, _ = statistics.sums["token_count"]
    assert (tokens.users, tokens.n, tokens.t) == (1, 2, pytest.approx(math.log(100)))
    assert statistics.sums["relevance"][0] == UserSums.of([1], [0.5])


def test_what_another_version_answered_is_neither_rated_nor_scored_for_this_one(found):
    statistics, _ = found(
        outcome("a1", error="timeout", answered_by="v1", rating=1.0, relevance=0.9, completion_tokens=5),
        outcome("a2", user="u2", rating=-1.0),
    )
    assert statistics.sums["user_feedback"][0] == UserSums.of([1], [0])
    assert statistics.sums["relevance"][0].users == statistics.sums["token_count"][0].users == 0
    assert statistics.sums["feedback_rate"][0] == UserSums.of([1], [1])
    assert statistics.sums["error_rate"][0].t == 1


def test_slow_is_what_takes_longer_than_nineteen_of_twenty_requests_of_the_control(found):
    control = [outcome(f"k{i}", arm="control", user=f"k{i}", latency_ms=float(i)) for i in range(1, 101)]
    canary = [outcome(f"c{i}", user=f"c{i}", latency_ms=94.0 + i) for i in range(1, 7)]
    statistics, _ = found(*control, *canary)
    slow_canary, slow_control = statistics.sums["slow"]
    assert (slow_control.n, slow_control.t) == (100, 4)  # above the 96th of 100
    assert (slow_canary.n, slow_canary.t) == (6, 4)


def test_simulated_requests_are_counted(found):
    statistics, _ = found(outcome("a1", simulated=True), outcome("a2"))
    assert statistics.simulated_requests == 1


def test_freshness_counts_the_control_users_seen_since_the_canary_fell_silent(found):
    late = START + timedelta(hours=1)
    _, freshness = found(
        outcome("a1"),
        outcome("a2", arm="control", user="u2", at=late),
        outcome("a3", arm="control", user="u3", at=late),
        outcome("a4", arm="control", user="u4", at=START - timedelta(hours=1)),
    )
    assert (freshness.canary, freshness.control, freshness.control_users_since) == (START, late, 2)


def test_a_canary_without_outcomes_has_empty_statistics(found):
    statistics, freshness = found()
    assert (statistics.canary_users, statistics.control_users) == (0, 0)
    assert (freshness.canary, freshness.control, freshness.control_users_since) == (None, None, 0)
