import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.rollout.judge import Statistics, judge, metrics
from gateway_tuning.rollout.policy import CanaryPolicy, MetricMargins, MetricWeights
from gateway_tuning.rollout.sequential import UserSums

POLICY = CanaryPolicy(
    stages=(0.1, 0.5),
    min_users=30,
    min_rated_users=30,
    min_scored_users=30,
    min_requests=100,
    margins=MetricMargins(
        error_rate=0.1, latency=0.5, user_feedback=0.15, token_count=0.5, relevance=0.15, feedback_rate=0.8
    ),
)


def sums(n, total):
    return UserSums.of(n, total)


def shares(users, positive):
    return sums([1] * users, [1] * positive + [0] * (users - positive))


def latencies(users, milliseconds):
    spread = np.random.default_rng(0).normal(0, 0.3, users)
    return UserSums.of(np.ones(users), np.log(milliseconds) + spread - spread.mean())


def statistics(**changes):
    users = 200
    same = {
        "error_rate": (shares(users, 2), shares(users, 2)),
        "latency": (latencies(users, 800), latencies(users, 800)),
        "user_feedback": (shares(users, 160), shares(users, 160)),
        "token_count": (latencies(users, 250), latencies(users, 250)),
        "relevance": (shares(users, 160), shares(users, 160)),
        "feedback_rate": (shares(users, 100), shares(users, 100)),
    }
    return Statistics(users, users, 0, {**same, **changes})


def verdict(**changes):
    return judge(statistics(**changes), POLICY, metrics(POLICY))


def result(found, name):
    return next(one for one in found.results if one.name == name)


def test_equal_arms_with_many_users_are_not_inferior_in_anything():
    found = verdict()
    assert {one.status for one in found.results} == {"non_inferior"}
    assert found.score > 0.95
    assert found.balanced


def test_fewer_positive_ratings_are_harm_and_more_are_none():
    worse = result(verdict(user_feedback=(shares(200, 100), shares(200, 160))), "user_feedback")
    better = result(verdict(user_feedback=(shares(200, 190), shares(200, 160))), "user_feedback")
    assert worse.status == "harmed"
    assert worse.harm == pytest.approx(0.3)
    assert worse.low > 0
    assert better.status == "non_inferior"
    assert better.harm < 0


def test_more_errors_and_longer_latencies_are_harm():
    assert result(verdict(error_rate=(shares(200, 60), shares(200, 2))), "error_rate").status == "harmed"
    slow = result(verdict(latency=(latencies(200, 2000), latencies(200, 800))), "latency")
    assert slow.status == "harmed"
    assert slow.canary == pytest.approx(2000)  # shown in milliseconds
    assert slow.harm == pytest.approx(math.log(2.5))


def test_harm_that_is_certain_but_inside_the_margin_is_no_reason_to_abort():
    slow = result(verdict(latency=(latencies(20_000, 1050), latencies(20_000, 1000))), "latency")
    assert slow.low > 0
    assert slow.harm < slow.margin
    assert slow.status != "harmed"


def test_few_users_leave_it_undecided_and_hardly_any_are_no_data():
    few = result(verdict(user_feedback=(shares(20, 10), shares(20, 10))), "user_feedback")
    hardly = result(verdict(user_feedback=(shares(4, 4), shares(200, 10))), "user_feedback")
    assert few.status == "undecided"
    assert hardly.status == "no_data"
    assert (hardly.harm, hardly.low, hardly.high, hardly.credit) == (None, None, None, None)


def test_non_inferior_needs_the_policys_users_however_clear_the_figures():
    clear = (shares(28, 28), shares(28, 0))
    assert result(verdict(user_feedback=clear), "user_feedback").status == "undecided"


def test_no_rating_means_no_score_instead_of_a_score_over_the_rest():
    found = verdict(user_feedback=(sums([], []), sums([], [])))
    assert found.score is None
    assert "user feedback: no data" in " ".join(found.reasons)


def test_the_score_weighs_the_credits():
    found = verdict()
    credit = {one.name: one.credit for one in found.results}
    expected = (
        0.15 * credit["latency"]
        + 0.3 * credit["error_rate"]
        + 0.4 * credit["user_feedback"]
        + 0.05 * credit["token_count"]
        + 0.1 * credit["relevance"]
    )
    assert found.score == pytest.approx(expected)


def test_the_weights_are_the_policys_and_only_their_proportions_count():
    worse = statistics(error_rate=(shares(200, 18), shares(200, 2)))
    weights = MetricWeights(error_rate=3, latency=0, user_feedback=1, token_count=0, relevance=0)
    policy = POLICY.model_copy(update={"weights": weights})
    found = judge(worse, policy, metrics(policy))
    credit = {one.name: one.credit for one in found.results}
    assert found.score == pytest.approx((3 * credit["error_rate"] + credit["user_feedback"]) / 4)


def test_more_metrics_make_an_abort_harder_and_a_promotion_no_easier():
    plan = metrics(POLICY)
    alone, together = (judge(statistics(), POLICY, some).results[0] for some in (plan[:1], plan))
    assert together.low < alone.low
    assert together.high == alone.high


def test_a_split_that_lost_users_is_unbalanced_and_says_so_first():
    found = judge(replace(statistics(), canary_users=120), POLICY, metrics(POLICY))
    assert not found.balanced
    assert "120 users on the canary against 200" in found.reasons[0]


def test_every_reason_carries_its_numbers():
    text = " ".join(verdict().reasons)
    for piece in ("0.8 on the canary", "200 and 200 users", "margin 0.1500"):
        assert piece in text


def test_a_missing_metric_or_a_figure_that_is_no_number_is_an_error_and_never_a_verdict():
    with pytest.raises(KeyError):
        judge(Statistics(200, 200, 0, {}), POLICY, metrics(POLICY))
    broken = UserSums.of(np.ones(200), np.full(200, np.nan))
    with pytest.raises(ValueError, match="latency"):
        verdict(latency=(broken, latencies(200, 800)))


def test_a_verdict_fits_into_json():
    import json

    assert json.loads(json.dumps(verdict().as_json(), allow_nan=False))["results"][0]["name"] == "error_rate"


def test_more_tokens_and_less_relevance_are_harm():
    found = verdict(
        token_count=(latencies(200, 600), latencies(200, 250)), relevance=(shares(200, 90), shares(200, 160))
    )
    assert {one.name for one in found.results if one.status == "harmed"} == {"token_count", "relevance"}
    assert result(found, "token_count").canary == pytest.approx(600)


def test_each_metric_has_its_role_and_its_weight():
    assert {metric.name: (metric.role, metric.weight) for metric in metrics(POLICY)} == {
        "error_rate": ("critical", 0.30),
        "latency": ("guardrail", 0.15),
        "user_feedback": ("primary", 0.40),
        "token_count": ("cost", 0.05),
        "relevance": ("guardrail", 0.10),
        "feedback_rate": ("integrity", 0.0),
    }


def test_only_the_metrics_to_monitor_are_compared():
    policy = POLICY.model_copy(update={"metrics_to_monitor": ("latency", "error_rate")})
    found = judge(statistics(relevance=(sums([], []), sums([], []))), policy, metrics(policy))
    assert [one.name for one in found.results] == ["latency", "error_rate"]
    assert found.score > 0.95


def test_an_error_rate_from_too_few_requests_may_not_pass_and_says_how_many_are_needed():
    few = result(verdict(error_rate=(shares(99, 0), shares(200, 2))), "error_rate")
    assert few.status == "undecided"
    assert few.lacking == "99 requests in the smaller arm, 100 are needed"


@pytest.mark.parametrize("name", ["user_feedback", "token_count", "relevance"])
def test_a_metric_without_data_says_how_to_get_it_or_to_leave_it_out(name):
    found = verdict(**{name: (sums([], []), shares(200, 100))})
    assert result(found, name).status == "no_data"
    assert f"leave {name} out of metrics_to_monitor" in " ".join(found.reasons)
    assert found.against_promotion == ("there is no score while a metric has no data",)


def test_relevance_without_data_names_the_setting_that_switches_it_on():
    text = " ".join(verdict(relevance=(sums([], []), sums([], []))).reasons)
    assert "GATEWAY_TUNING_RELEVANCE_SHARE" in text


@pytest.mark.parametrize(("canary", "control"), [(1900, 500), (500, 1900)])
def test_ratings_that_come_more_or_less_often_on_one_side_hold_and_take_nobody_back(canary, control):
    found = verdict(feedback_rate=(shares(2000, canary), shares(2000, control)))
    assert result(found, "feedback_rate").status == "differs"
    assert "no longer comparable" in found.holds[0]
    assert not any(one.status == "harmed" for one in found.results)


def test_equal_arms_hold_nothing_up():
    assert (verdict().holds, verdict().against_promotion) == ((), ())


def test_a_score_below_the_threshold_speaks_against_a_promotion():
    close = statistics(latency=(latencies(200, 1150), latencies(200, 800)))
    policy = POLICY.model_copy(update={"promotion_threshold": 1.0})
    found = judge(close, policy, metrics(policy))
    assert found.against_promotion == (f"the score {found.score:.3f} is below the threshold 1",)


def test_a_canary_that_fails_more_does_not_look_better_in_what_failed_requests_do_not_have():
    thrifty = (latencies(200, 150), latencies(200, 250))
    liked = (shares(200, 170), shares(200, 160))
    names = ("token_count", "relevance", "user_feedback")
    sound = verdict(token_count=thrifty, relevance=liked, user_feedback=liked)
    failing = verdict(
        token_count=thrifty,
        relevance=liked,
        user_feedback=liked,
        error_rate=(shares(200, 18), shares(200, 2)),
    )
    for name in names:
        assert result(failing, name).high > result(sound, name).high
        assert result(failing, name).credit <= result(sound, name).credit
        assert (
            result(failing, name).low == result(sound, name).low
        )  # and is not taken back twice for one thing


def test_a_slow_tail_takes_back_what_the_mean_would_let_pass():
    found = verdict(slow=(shares(2000, 400), shares(2000, 100)))
    latency = result(found, "latency")
    assert latency.high < latency.margin
    assert latency.status == "harmed"
    assert latency.tail.harmed
    assert "slow requests 0.2 and 0.05, harmed" in " ".join(found.reasons)


def test_a_tail_like_the_controls_leaves_the_latency_as_it_is():
    assert result(verdict(slow=(shares(2000, 100), shares(2000, 100))), "latency").status == "non_inferior"


positions = st.integers(0, 60)


@given(st.tuples(positions, positions), st.tuples(positions, positions), st.tuples(positions, positions))
def test_a_promotable_verdict_has_every_metric_with_data_and_inside_its_margin(errors, ratings, relevance):
    found = verdict(
        error_rate=(shares(60, errors[0]), shares(60, errors[1])),
        user_feedback=(shares(60, ratings[0]), shares(60, ratings[1])),
        relevance=(shares(60, relevance[0]), shares(60, relevance[1])),
    )
    for one in found.results:
        if one.status == "non_inferior":
            assert one.high < one.margin
        if one.status == "harmed":
            assert one.low > 0
            assert one.harm > one.margin
    assert found.score is not None
    assert 0 <= found.score <= 1
