import pytest

from gateway_tuning.evaluation.reporting.findings import finding_of, unknowns, verdict
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.rollout.gate import GateDecision, GateOutcome
from tests.unit.evaluation.reporting.results import (
    card,
    comparison,
    difference,
    judge,
    result,
    system,
    unknown,
)


@pytest.mark.parametrize(
    ("low", "high", "more_is_better", "less_is_better"),
    [
        (0.01, 0.2, "better", "worse"),
        (-0.2, -0.01, "worse", "better"),
        (-0.1, 0.1, "undecided", "undecided"),
        (0.0, 0.1, "undecided", "undecided"),
        (0.0, 0.0, "equal", "equal"),
        (None, None, "unknown", "unknown"),
    ],
)
def test_a_finding_follows_the_direction_of_its_metric(low, high, more_is_better, less_is_better):
    found = difference(0.05, low, high)

    assert finding_of(found, card("similarity")) == more_is_better
    assert finding_of(found, card("refusal")) == less_is_better


def test_the_verdict_tells_both_means_the_difference_and_its_interval():
    said = verdict(result())

    assert said.sentence == (
        "The candidate is better than the stable model in Word similarity, 0.520 against 0.440 "
        "(+0.080, 95 % interval +0.050 to +0.110)."
    )
    assert said.tone == "good"


@pytest.mark.parametrize(
    ("of", "words", "tone"),
    [
        (difference(-0.1, -0.2, -0.05), "worse than the stable model", "bad"),
        (difference(0.01, -0.05, 0.07), "No difference in Word similarity can be told", "note"),
        (difference(0.0, 0.0, 0.0), "equal in Word similarity", "note"),
        (difference(0.1, None, None, n=1), "Too few examples", "note"),
        (unknown(), "was not compared with the stable model by Word similarity, which decides", "note"),
    ],
)
def test_the_verdict_never_says_more_than_the_interval(of, words, tone):
    said = verdict(result(comparison(of=of)))

    assert words in said.sentence
    assert said.tone == tone


def test_a_better_candidate_that_is_worse_elsewhere_is_not_called_good_alone():
    said = verdict(
        result(
            comparison(), comparison("refusal", difference(0.2, 0.1, 0.3)), cards=("similarity", "refusal")
        )
    )

    assert said.sentence.endswith("; it is worse in Refusals.")
    assert said.tone == "note"


def test_what_is_worse_by_chance_among_many_metrics_is_not_in_the_verdict():
    lucky = comparison("refusal", difference(0.2, 0.01, 0.3), p=0.3)

    assert "worse" not in verdict(result(comparison(), lucky, cards=("similarity", "refusal"))).sentence


@pytest.mark.parametrize(
    ("outcome", "lead", "tone"),
    [
        (GateOutcome.PASS, "Passed: the candidate is better", "good"),
        (GateOutcome.FAIL, "Not passed: the candidate is better", "bad"),
        (GateOutcome.INCONCLUSIVE, "Undecided: the candidate is better", "note"),
        (GateOutcome.ERROR, "Undecided, as a check could not be made: the candidate is better", "bad"),
    ],
)
def test_the_gate_decides_the_tone(outcome, lead, tone):
    said = verdict(result(), GateDecision(outcome, ("because",)))

    assert said.sentence.startswith(lead)
    assert said.tone == tone


@pytest.mark.parametrize("state", ["no_data", "invalid"])
def test_without_a_valid_comparison_no_gate_makes_the_verdict_good(state):
    said = verdict(result(state=state), GateDecision(GateOutcome.PASS, ()))

    assert "nothing" in said.sentence.lower()
    assert "better" not in said.sentence
    assert said.tone != "good"


def test_what_is_not_known_is_said():
    found = result(
        comparison(of=difference(0.01, -0.05, 0.07), missing=3, detectable=0.09),
        comparison("json_validity", unknown(), missing=120),
        cards=("similarity", "json_validity"),
        systems=(system(Role.CANDIDATE, failed=4, similarity=0.5), system(Role.STABLE, similarity=0.49)),
        settings={"slices": ["language", "feedback_type"]},
    )

    said = " ".join(unknowns(found))

    assert "Not measured on any example: JSON validity." in said
    assert "Word similarity (120 of 123)" in said
    assert "A true difference in Word similarity below 0.090 is missed" in said
    assert "4 of 120 answers of the candidate failed" in said
    assert "no judge was asked" in said
    assert "Not told apart by language, feedback type" in said
    assert "canary" in said


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"agreement": None, "agreement_low": None}, "judge-large was not held against people"),
        ({"agreement": 0.6, "agreement_low": 0.48}, "(48 % to 88 %), which may be chance"),
        ({"agreement_low": None}, "which gives no interval"),
    ],
)
def test_a_judge_that_was_not_shown_to_agree_with_people_is_said_so(changed, words):
    assert words in " ".join(unknowns(result(judge=judge(**changed))))


def test_a_judge_that_agrees_with_people_is_no_unknown():
    assert "judge" not in " ".join(unknowns(result(judge=judge())))
