from dataclasses import replace

import pytest

from gateway_tuning.rollout.gate import Evidence, GateOutcome, GatePolicy, decide

GOOD = Evidence(examples=40, failed_answers=0, difference=0.4, low=0.3, high=0.5, drift_state="no_drift")


def outcome(policy=GatePolicy(), **changes):  # noqa: B008 - a frozen policy
    return decide(replace(GOOD, **changes), policy).outcome


def test_a_candidate_whose_interval_lies_above_the_margin_passes_with_its_figures():
    decision = decide(GOOD, GatePolicy())

    assert decision.outcome is GateOutcome.PASS
    assert "+0.400 (interval +0.300 to +0.500, on 40 examples)" in decision.reasons[0]


def test_a_worse_candidate_fails_and_an_uncertain_one_is_inconclusive():
    assert outcome(difference=-0.1, low=-0.2, high=0.0) is GateOutcome.FAIL
    assert outcome(difference=0.1, low=-0.1, high=0.3) is GateOutcome.INCONCLUSIVE


def test_the_margin_must_be_cleared_by_the_whole_interval():
    assert outcome(GatePolicy(min_improvement=0.35)) is GateOutcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"examples": 19}, GateOutcome.INCONCLUSIVE),
        ({"low": None, "high": None}, GateOutcome.ERROR),
        ({"difference": None, "low": None, "high": None}, GateOutcome.ERROR),
        ({"failed_answers": 1}, GateOutcome.FAIL),
        ({"drift_state": "drift"}, GateOutcome.FAIL),
        ({"drift_state": "inconclusive"}, GateOutcome.INCONCLUSIVE),
        ({"drift_state": "error"}, GateOutcome.ERROR),
        ({"drift_state": "something new"}, GateOutcome.ERROR),
        ({"drift_state": "not_applicable"}, GateOutcome.PASS),
    ],
)
def test_what_is_unknown_or_bad_never_passes(changes, expected):
    policy = GatePolicy(max_failed_share=0.0)

    assert outcome(policy, **changes) is expected


def test_the_worst_finding_decides_and_every_finding_is_named():
    decision = decide(replace(GOOD, drift_state="error", difference=-1.0, low=-1.0, high=-0.5), GatePolicy())

    assert decision.outcome is GateOutcome.ERROR
    assert len(decision.reasons) == 3
