from dataclasses import replace

import pytest

from gateway_tuning.evaluation.judging.preferences import CARD, METRIC
from gateway_tuning.evaluation.result import JudgeSummary, read_result
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.evaluation.summary import summarize
from gateway_tuning.rollout.evidence import evidence_of
from gateway_tuning.rollout.gate import GateOutcome, GatePolicy, decide
from tests.unit.evaluation.answers import CANDIDATE, STABLE, VERSIONS, card, cards, scored
from tests.unit.evaluation.earlier import stored

SETTINGS = EvaluationSettings(resamples=1_000)
ONLY_THE_PRIMARY = {"min_json_validity": None, "max_personal_data": None, "max_more_refusals": None}
METRICS = cards("similarity", "json_validity") | {
    "refusal": card("refusal", higher_is_better=False),
    "personal_data": card("personal_data", higher_is_better=False, high=None),
}
JUDGE = JudgeSummary("judge", 30, 0, 0.5, 0.1, 0.8, 0.7, 0.9, 50, 60, 0, None, None)


def answers(similarity, *, personal_data=0.0, **changed):
    values = {"similarity": similarity, "json_validity": None, "refusal": 0.0, "personal_data": personal_data}
    return values | changed


def evaluated(*, n=30, gain=0.2, metrics=METRICS, failed=(), judge=None, unmeasured=None, **changed):
    """Alternating answers, so that there is a spread."""
    examples = [
        scored(
            number,
            {
                CANDIDATE: answers(0.5 + gain + 0.1 * (number % 2), **changed),
                STABLE: answers(0.5 + 0.05 * (number % 3)) | {METRIC: 0.2 * (number % 2)},
            },
            failed=failed if number < 5 else (),
        )
        for number in range(n)
    ]
    return summarize(examples, metrics, SETTINGS, versions=VERSIONS, judge=judge, unmeasured=unmeasured)


def outcome(result, drift="no_drift", **policy):
    return decide(evidence_of(result, drift), GatePolicy(**policy)).outcome


def test_an_evaluation_that_shows_the_candidate_better_passes():
    assert outcome(evaluated()) is GateOutcome.PASS
    assert outcome(evaluated(gain=-0.2)) is GateOutcome.FAIL


def test_evidence_has_the_figures_of_the_comparison_with_the_stable_model():
    result = evaluated()
    found = evidence_of(result, "drift", ("topics moved",))
    compared = result.comparison("similarity")

    assert found.metrics["similarity"].low == compared.difference.low
    assert found.metrics["similarity"].candidate == result.system(Role.CANDIDATE).means["similarity"]
    assert (found.examples, found.drift_state, found.drift_reasons) == (30, "drift", ("topics moved",))


def test_failed_answers_of_the_candidate_count_against_it():
    assert outcome(evaluated(failed=(CANDIDATE,))) is GateOutcome.FAIL


def test_a_comparison_with_a_stable_model_that_hardly_answers_is_an_error():
    assert outcome(evaluated(failed=(STABLE,))) is GateOutcome.ERROR


def test_without_examples_nothing_is_decided():
    assert outcome(summarize([], METRICS, SETTINGS, versions=VERSIONS)) is GateOutcome.INCONCLUSIVE


def test_an_answer_that_no_check_for_personal_data_was_made_of_never_passes():
    assert outcome(evaluated(personal_data=None)) is GateOutcome.ERROR
    result = evaluated()
    candidate = replace(result.system(Role.CANDIDATE), without_value={"personal_data": 1})

    assert outcome(replace(result, systems=(candidate, result.system(Role.STABLE)))) is GateOutcome.ERROR


def test_personal_data_in_the_candidates_answers_fails_it():
    assert outcome(evaluated(personal_data=1.0)) is GateOutcome.FAIL


@pytest.mark.parametrize("name", ["json_validity", "refusal", "personal_data", "similarity"])
def test_a_check_that_broke_never_passes(name):
    assert outcome(evaluated(unmeasured={name: "broke"})) is GateOutcome.ERROR


def test_a_usual_guardrail_that_broke_is_no_guardrail_that_nobody_asked_for():
    metrics = METRICS | cards("factuality")

    assert outcome(evaluated(metrics=metrics, factuality=0.5, unmeasured={"factuality": "broke"})) is (
        GateOutcome.ERROR
    )
    assert outcome(evaluated()) is GateOutcome.PASS


def test_what_the_base_model_does_decides_nothing():
    against_base = [replace(one, against=Role.BASE) for one in evaluated(gain=-0.2).comparisons]
    result = evaluated()

    both = replace(result, comparisons=(*result.comparisons, *against_base))

    assert evidence_of(both, "no_drift") == evidence_of(result, "no_drift")


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        (JUDGE, GateOutcome.PASS),
        (replace(JUDGE, agreement_low=0.45), GateOutcome.INCONCLUSIVE),
        (replace(JUDGE, agreement=None, labels=0), GateOutcome.INCONCLUSIVE),
        (None, GateOutcome.INCONCLUSIVE),
    ],
)
def test_a_judge_decides_only_where_people_bear_it_out(judge, expected):
    result = evaluated(metrics=METRICS | {METRIC: CARD}, judge=judge, **{METRIC: 0.9})

    assert outcome(result, guardrails={METRIC: 0.05}) is expected
    assert outcome(replace(result, primary=METRIC)) is expected


def test_what_the_version_before_stored_passes_only_a_policy_that_needs_no_more_than_it_has():
    result = read_result(stored())

    assert outcome(result, max_failed_share=0.05) is GateOutcome.ERROR
    assert outcome(result, max_failed_share=0.05, **ONLY_THE_PRIMARY) is GateOutcome.PASS
