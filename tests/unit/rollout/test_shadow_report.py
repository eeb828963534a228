import json
import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import orjson
import pytest

from gateway_tuning.rollout.findings import GateOutcome
from gateway_tuning.rollout.shadows import telling
from gateway_tuning.rollout.shadows.report import report
from gateway_tuning.rollout.shadows.shadow import Pair, Shadow, TokenPrices

PRICES = TokenPrices(Decimal(1), Decimal(2), "USD")


@pytest.fixture
def shadow(now):
    return Shadow(
        id="s1",
        tenant="t",
        model="assistant",
        candidate="v2",
        control="v1",
        share=0.5,
        max_requests=600,
        salt="salt",
        started_by="ann",
        started_at=now,
        ends_at=now + timedelta(days=1),
        requests=600,
        state="finished",
    )


@pytest.fixture
def make(now):
    """Pairs of `users` users; `relevance`, `slower` and `failing` say how the candidate differs."""

    def pairs(count=600, users=200, *, relevance=0.0, slower=1.0, failing=0.0, refusing=0.0, seed=1):
        draw = random.Random(seed)
        made = []
        for number in range(count):
            ours, took, tokens = draw.gauss(0.6, 0.1), draw.lognormvariate(6, 0.4), draw.randint(20, 200)
            fails, refuses = draw.random() < failing, draw.random() < refusing
            theirs = {
                "failed": float(fails),
                "completion_tokens": None,
                "length_ratio": None,
                "same_tools": None,
            }
            if not fails:
                theirs |= {
                    "relevance": None if refuses else ours + relevance + draw.gauss(0, 0.05),
                    "refusal": float(refuses),
                    "json_validity": None,
                    "completion_tokens": tokens * draw.lognormvariate(0, 0.2),
                    "semantic_similarity": 0.8,
                    "length_ratio": 1.0,
                }
            made.append(
                Pair(
                    "s1",
                    f"a{number}",
                    f"user-{number % users}",
                    now,
                    {"failed": 0.0, "relevance": ours, "refusal": 0.0, "completion_tokens": tokens},
                    theirs,
                    took,
                    None if fails else took * slower * draw.lognormvariate(0, 0.2),
                    "status_500" if fails else None,
                    Decimal("0.001"),
                )
            )
        return made

    return pairs


def found(report, name):
    return next(one for one in report.metrics if one.name == name)


def test_a_candidate_that_does_as_well_passes(shadow, make):
    made = report(shadow, make())

    assert made.outcome is GateOutcome.PASS
    assert (made.pairs, made.users) == (600, 200)
    assert {one.finding for one in made.metrics} == {"not worse", "told"}
    assert found(made, "relevance").difference.low < 0 < found(made, "relevance").difference.high


@pytest.mark.parametrize(
    ("worse", "metric"),
    [
        ({"relevance": -0.1}, "relevance"),
        ({"slower": 1.4}, "latency"),
        ({"failing": 0.1}, "failed"),
        ({"refusing": 0.1}, "refusal"),
    ],
)
def test_a_candidate_that_is_worse_in_one_thing_fails_by_it(shadow, make, worse, metric):
    made = report(shadow, make(**worse))

    assert made.outcome is GateOutcome.FAIL
    assert {one.name for one in made.metrics if one.finding == "worse"} == {metric}


def test_an_interval_that_reaches_over_the_margin_decides_nothing(shadow, make):
    made = report(replace(shadow, requests=60), make(60, 30, relevance=-0.02))

    assert found(made, "relevance").finding == "undecided"
    assert made.outcome is GateOutcome.INCONCLUSIVE
    assert found(made, "relevance").detectable > 0


@pytest.mark.parametrize(("count", "users"), [(0, 1), (49, 40), (600, 5)])
def test_too_few_pairs_or_users_decide_nothing(shadow, make, count, users):
    made = report(replace(shadow, requests=count), make(count, users))

    assert made.outcome is GateOutcome.INCONCLUSIVE
    assert "are needed" in made.reasons[0]


def test_a_shadow_that_runs_decides_nothing_however_good_its_figures(shadow, make):
    made = report(replace(shadow, state="running"), make())

    assert made.outcome is GateOutcome.INCONCLUSIVE
    assert "still runs" in made.reasons[0]


def test_requests_without_a_pair_decide_nothing_for_they_may_be_the_bad_ones(shadow, make):
    made = report(replace(shadow, requests=700), make())

    assert made.outcome is GateOutcome.INCONCLUSIVE
    assert "100 of 700 requests have no pair" in made.reasons[0]


def test_without_any_relevance_the_outcome_is_open(shadow, make):
    def without(scores):
        return {name: value for name, value in scores.items() if name != "relevance"}

    pairs = [
        replace(
            one, control_scores=without(one.control_scores), candidate_scores=without(one.candidate_scores)
        )
        for one in make()
    ]
    made = report(shadow, pairs)

    assert made.outcome is GateOutcome.INCONCLUSIVE
    assert found(made, "relevance").finding == "unknown"
    assert found(made, "relevance").candidate is None


def test_pairs_of_one_user_count_as_one_users(shadow, make):
    """Ten pairs each that agree say little more than one: the interval is wider than that of as many users."""
    one_each = make(600, 600)
    ten_each = [replace(pair, user_key=f"user-{number // 10}") for number, pair in enumerate(one_each)]
    shared = [
        replace(
            pair,
            candidate_scores={**pair.candidate_scores, "relevance": pair.control_scores["relevance"] + shift},
        )
        for pair, shift in zip(
            ten_each, (shift for number in range(60) for shift in [0.1 * (-1) ** number] * 10), strict=True
        )
    ]
    alone = [replace(pair, user_key=f"user-{number}") for number, pair in enumerate(shared)]

    def width(pairs):
        difference = found(report(shadow, pairs), "relevance").difference
        return difference.high - difference.low

    assert width(shared) > 2.5 * width(alone)


def test_figures_of_two_scorers_are_not_mixed(shadow, make):
    def renamed(scores):
        return {
            ("relevance_lexical" if name == "relevance" else name): value for name, value in scores.items()
        }

    pairs = make()
    other = [
        replace(
            one, control_scores=renamed(one.control_scores), candidate_scores=renamed(one.candidate_scores)
        )
        for one in pairs[300:]
    ]
    made = report(shadow, pairs[:300] + other)

    assert (found(made, "relevance").difference.n, found(made, "relevance_lexical").difference.n) == (
        300,
        300,
    )


def test_it_is_told_in_words_with_the_cost_and_what_failed(shadow, make):
    paid = replace(shadow, prices=PRICES, budget=Decimal(5), spent=Decimal("0.6"), held=Decimal(0))
    pairs = [replace(one, cost=None) if number < 3 else one for number, one in enumerate(make(failing=0.1))]
    made = report(paid, pairs)

    lines = list(telling.lines(made))
    page = telling.markdown(made)

    assert lines[0].startswith("fail: v2 against v1")
    assert "0.6 USD spent of 5 USD" in lines
    assert any(line.startswith("3 answers told no usage") for line in lines)
    assert any("status_500" in line for line in lines)
    assert "| failed answers | 0.000 | 0." in page
    assert "| latency in ms |" in page
    assert "%" in page


def test_a_cost_that_nobody_knows_is_no_zero(shadow, make):
    assert "cost not known: no price of v2" in list(telling.lines(report(shadow, make(60, 30))))


def test_it_is_json_with_the_figures_as_numbers(shadow, make):
    told = json.loads(orjson.dumps(report(shadow, make(60, 30)), default=str))

    assert told["outcome"] == "inconclusive"
    assert isinstance(told["metrics"][0]["difference"]["low"], float)


def test_the_same_pairs_give_the_same_report(shadow, make):
    assert report(shadow, make()) == report(shadow, make())
