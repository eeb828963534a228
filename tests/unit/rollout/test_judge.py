import math
from dataclasses import replace

import numpy as np
import pytest

from gateway_tuning.rollout.judge import Statistics, judge, metrics
from gateway_tuning.rollout.policy import CanaryPolicy, MetricMargins
from gateway_tuning.rollout.sequential import UserSums

POLICY = CanaryPolicy(
    stages=(0.1, 0.5),
    min_users=30,
    min_rated_users=30,
    margins=MetricMargins(error_rate=0.1, latency=0.5, user_feedback=0.15),
)


def sums(n, total):
    return UserSums(np.array(n, dtype=float), np.array(total, dtype=float))


def shares(users, positive):
    return sums([1] * users, [1] * positive + [0] * (users - positive))


def latencies(users, milliseconds):
    spread = np.random.default_rng(0).normal(0, 0.3, users)
    return UserSums(np.ones(users), np.log(milliseconds) + spread - spread.mean())


def statistics(**changes):
    users = 200
    same = {
        "error_rate": (shares(users, 2), shares(users, 2)),
        "latency": (latencies(users, 800), latencies(users, 800)),
        "user_feedback": (shares(users, 160), shares(users, 160)),
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


def test_the_score_weighs_the_credits_with_renormalised_weights():
    found = verdict()
    credit = {one.name: one.credit for one in found.results}
    expected = 0.4 * credit["user_feedback"] + 0.3 * credit["error_rate"] + 0.15 * credit["latency"]
    assert found.score == pytest.approx(expected / 0.85)


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
    broken = UserSums(np.ones(200), np.full(200, np.nan))
    with pytest.raises(ValueError, match="latency"):
        verdict(latency=(broken, latencies(200, 800)))


def test_a_verdict_fits_into_json():
    import json

    assert json.loads(json.dumps(verdict().as_json(), allow_nan=False))["results"][0]["name"] == "error_rate"
