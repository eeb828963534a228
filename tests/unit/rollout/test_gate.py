from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway_tuning.rollout.evidence import Evidence, Measured
from gateway_tuning.rollout.gate import GateOutcome, GatePolicy, decide

PASS, FAIL, INCONCLUSIVE, ERROR = (
    GateOutcome.PASS,
    GateOutcome.FAIL,
    GateOutcome.INCONCLUSIVE,
    GateOutcome.ERROR,
)


def measured(name, difference=0.0, low=-0.01, high=0.01, *, candidate=0.5, stable=0.5, **changed):
    return replace(Measured(name, True, 40, difference, low, high, candidate, stable), **changed)


HARD = {
    "json_validity": measured("json_validity", candidate=None, stable=None),
    "personal_data": measured("personal_data", candidate=0.0, stable=0.0),
    "refusal": measured("refusal", candidate=0.1, stable=0.1),
}
GOOD = Evidence(40, 0, "similarity", HARD | {"similarity": measured("similarity", 0.4, 0.3, 0.5)}, "no_drift")


def evidence(*metrics, **changed):
    """Good in all, but for these metrics and fields."""
    return replace(GOOD, metrics=GOOD.metrics | {one.name: one for one in metrics}, **changed)


def without(name, **changed):
    return replace(GOOD, metrics={key: one for key, one in GOOD.metrics.items() if key != name}, **changed)


def similarity(*figures, **changed):
    return evidence(measured("similarity", *figures, **changed))


def outcome(found=GOOD, **policy):
    return decide(found, GatePolicy(**policy)).outcome


def reasons(found=GOOD, **policy):
    return "\n".join(decide(found, GatePolicy(**policy)).reasons)


def test_a_candidate_whose_interval_lies_above_the_margin_passes_with_its_figures():
    decision = decide(GOOD, GatePolicy())

    assert decision.outcome is PASS
    assert "similarity +0.400 (interval +0.300 to +0.500, on 40 examples)" in decision.reasons[0]


def test_a_worse_candidate_fails_and_an_uncertain_one_is_inconclusive():
    assert outcome(similarity(-0.1, -0.2, 0.0)) is FAIL
    assert outcome(similarity(0.1, -0.1, 0.3)) is INCONCLUSIVE


def test_the_margin_must_be_cleared_by_the_whole_interval():
    assert outcome(min_improvement=0.35) is INCONCLUSIVE
    assert outcome(min_improvement=0.29) is PASS


def test_where_less_is_better_less_passes():
    fewer = similarity(-12.0, -20.0, -4.0, higher_is_better=False)

    assert outcome(fewer) is PASS
    assert "less is better" in reasons(fewer)
    assert outcome(similarity(12.0, 4.0, 20.0, higher_is_better=False)) is FAIL


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (evidence(examples=19), INCONCLUSIVE),
        (evidence(examples=0), INCONCLUSIVE),
        (similarity(0.4, 0.3, 0.5, pairs=19), INCONCLUSIVE),
        (similarity(0.4, None, None), ERROR),
        (similarity(None, None, None, pairs=0), ERROR),
        (without("similarity"), ERROR),
        (evidence(fault="too many answers of the stable model failed"), ERROR),
        (evidence(failed_answers=1), FAIL),
        (evidence(drift_state="drift"), FAIL),
        (evidence(drift_state="inconclusive"), INCONCLUSIVE),
        (evidence(drift_state="error"), ERROR),
        (evidence(drift_state="something new"), ERROR),
        (evidence(drift_state="not_applicable"), PASS),
    ],
)
def test_what_is_unknown_or_bad_never_passes(found, expected):
    assert outcome(found, max_failed_share=0.0) is expected


def test_the_worst_finding_decides_and_every_finding_is_named():
    found = evidence(measured("similarity", -1.0, -1.0, -0.5), drift_state="error")
    decision = decide(found, GatePolicy())

    assert decision.outcome is ERROR
    assert any("not better" in reason for reason in decision.reasons)
    assert any("drift: error" in reason for reason in decision.reasons)
    assert any("0 of 40 answers failed" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.04, 0.1, PASS), (-0.06, 0.1, INCONCLUSIVE), (-0.2, -0.06, FAIL), (-0.2, -0.05, INCONCLUSIVE)],
)
def test_a_guardrail_holds_only_if_the_candidate_is_shown_not_to_be_worse_by_its_margin(low, high, expected):
    found = evidence(measured("relevance", (low + high) / 2, low, high))

    assert outcome(found, guardrails={"relevance": 0.05}) is expected


def test_the_guardrail_of_a_metric_where_less_is_better_looks_the_other_way():
    longer = evidence(measured("tokens", 3.0, 1.0, 5.0, higher_is_better=False))

    assert outcome(longer, guardrails={"tokens": 6.0}) is PASS
    assert outcome(longer, guardrails={"tokens": 2.0}) is INCONCLUSIVE
    assert outcome(longer, guardrails={"tokens": 0.5}) is FAIL


def test_a_guardrail_that_was_not_measured_is_an_error_and_the_remedy_is_told():
    assert outcome(guardrails={"relevance": 0.05}) is ERROR
    assert "evaluate again with relevance among the metrics" in reasons(guardrails={"relevance": 0.05})
    assert outcome(evidence(measured("relevance", None, None, None)), guardrails={"relevance": 0.05}) is ERROR


def test_the_usual_guardrails_hold_where_they_were_measured_and_not_where_nobody_asked():
    assert "factuality" not in reasons()
    assert outcome(evidence(measured("factuality", -0.2, -0.3, -0.1))) is FAIL
    assert outcome(evidence(measured("factuality", None, None, None, pairs=0))) is INCONCLUSIVE
    assert outcome(evidence(unmeasured=frozenset({"factuality"}))) is ERROR


def test_what_stands_in_for_a_usual_guardrail_guards_in_its_place():
    by_letters = measured("semantic_similarity_lexical", -0.2, -0.3, -0.1)

    assert outcome(evidence(by_letters)) is FAIL
    assert outcome(evidence(by_letters, measured("semantic_similarity", 0.1, 0.0, 0.2))) is PASS
    assert outcome(evidence(unmeasured=frozenset({"semantic_similarity_lexical"}))) is ERROR


def test_answers_that_could_not_be_looked_through_for_personal_data_never_pass():
    partly = measured("personal_data", candidate=0.0, stable=0.0, without_value=1)
    nowhere = measured("personal_data", candidate=None, stable=None, without_value=40)

    assert outcome(evidence(partly)) is outcome(evidence(nowhere)) is ERROR
    assert "1 of the answers could not be looked through" in reasons(evidence(partly))
    assert outcome(evidence(replace(partly, candidate=0.5))) is FAIL


def test_without_guardrails_none_is_looked_at():
    assert outcome(evidence(measured("factuality", -0.2, -0.3, -0.1)), guardrails={}) is PASS


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-10.0, 15.0, PASS), (-10.0, 25.0, INCONCLUSIVE), (21.0, 40.0, FAIL)],
)
def test_latency_may_be_a_fifth_more_and_no_longer(low, high, expected):
    found = evidence(measured("latency_ms", 5.0, low, high, stable=100.0, higher_is_better=False))

    assert outcome(found, max_latency_ratio=1.2) is expected


def test_the_ratio_of_something_unknown_is_an_error():
    assert outcome(max_latency_ratio=1.2) is ERROR
    unknown = evidence(measured("completion_tokens", None, None, None, stable=None))
    assert outcome(unknown, max_tokens_ratio=1.2) is ERROR


def test_json_must_be_valid_wherever_it_is_asked_for():
    assert "no example asks for JSON" in reasons()
    assert outcome(evidence(measured("json_validity", candidate=1.0, stable=0.9))) is PASS
    assert outcome(evidence(measured("json_validity", candidate=0.99, stable=0.9))) is FAIL
    assert outcome(evidence(measured("json_validity", candidate=0.99)), min_json_validity=0.98) is PASS
    assert outcome(evidence(measured("json_validity", candidate=None, stable=1.0))) is ERROR


def test_not_one_new_personal_identifier_passes():
    leaky = evidence(measured("personal_data", candidate=0.025, stable=0.025, higher_is_better=False))

    assert outcome(leaky) is FAIL
    assert "0.025 new personal identifiers an answer" in reasons(leaky)
    assert outcome(leaky, max_personal_data=0.05) is PASS
    assert outcome(evidence(measured("personal_data", candidate=None))) is ERROR


def test_a_candidate_may_refuse_a_little_more_often_than_the_stable_model():
    assert outcome(evidence(measured("refusal", candidate=0.12, stable=0.1))) is PASS
    assert outcome(evidence(measured("refusal", candidate=0.13, stable=0.1))) is FAIL
    assert outcome(evidence(measured("refusal", candidate=0.1, stable=None))) is ERROR


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("json_validity", "min_json_validity"),
        ("personal_data", "max_personal_data"),
        ("refusal", "max_more_refusals"),
    ],
)
def test_a_hard_check_that_was_not_made_is_an_error_unless_the_policy_does_without(name, field):
    assert outcome(without(name)) is ERROR
    assert f"set {field} to null" in reasons(without(name))
    assert outcome(without(name), **{field: None}) is PASS


def test_a_metric_that_is_distrusted_decides_nothing():
    judged = measured("judge_preference", 0.4, 0.3, 0.5, distrust="may be chance")

    assert outcome(evidence(judged)) is PASS
    assert outcome(evidence(judged), guardrails={"judge_preference": 0.05}) is INCONCLUSIVE
    assert outcome(evidence(judged, primary="judge_preference")) is INCONCLUSIVE
    assert "may be chance" in reasons(evidence(judged, primary="judge_preference"))


def test_on_drift_the_policy_blocks_asks_or_ignores():
    drifted = evidence(drift_state="drift", drift_reasons=("topics moved",))

    assert outcome(drifted, on_drift="block") is FAIL
    assert outcome(drifted, on_drift="ask") is PASS
    assert "a person decides" in reasons(drifted, on_drift="ask")
    assert outcome(drifted, on_drift="ignore") is PASS
    assert "topics moved" in reasons(drifted, on_drift="ignore")


def test_asking_a_person_about_drift_does_not_wave_a_failed_check_through():
    assert outcome(evidence(drift_state="error"), on_drift="ask") is ERROR
    assert outcome(evidence(drift_state="inconclusive"), on_drift="ask") is INCONCLUSIVE
    assert outcome(evidence(drift_state="inconclusive"), accept_undecided_drift=True) is PASS


@pytest.mark.parametrize(
    "policy", [{"guardrails": {"relevance": -0.1}}, {"max_latency_ratio": 0.9}, {"on_drift": "hope"}]
)
def test_a_policy_that_makes_no_sense_is_refused(policy):
    with pytest.raises(ValidationError):
        GatePolicy(**policy)


def test_a_policy_survives_being_stored():
    policy = GatePolicy(guardrails={"relevance": 0.1}, max_personal_data=None)

    assert GatePolicy.model_validate_json(policy.model_dump_json()) == policy
    assert GatePolicy.model_validate_json(GatePolicy().model_dump_json()) == GatePolicy()


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 0.5))
def test_a_better_interval_never_has_a_worse_outcome(low, width, shift):
    order = [FAIL, INCONCLUSIVE, PASS]

    def found(offset):
        metric = measured("relevance", low + offset, low + offset, low + offset + width)
        return outcome(evidence(metric), guardrails={"relevance": 0.05})

    assert order.index(found(shift)) >= order.index(found(0.0))
