from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway_tuning.rollout.canary import Look, begin
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.reporting import words

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = CanaryPolicy(stages=(0.1, 0.25, 0.5), approve_before=(0.25, 1.0))
AWAITS = "a share of 0.25 awaits the approval of a person"


def canary(policy=POLICY, **changes):
    begun = begin("c", tenant="t", model="m", candidate="b", control="a", policy=policy, salt="s", now=START)
    return replace(begun, **changes)


def look(*reasons, decision="hold", unsound=(), **verdict):
    return Look("c", 3, START, 0, 0.1, decision, reasons, verdict, unsound)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("error_rate", 0.005, "+0.50 points"),
        ("user_feedback", -0.0123, "\N{MINUS SIGN}1.23 points"),
        ("latency", 0.0953, "+10.0 %"),
        ("token_count", -0.0513, "\N{MINUS SIGN}5.0 %"),
        ("relevance", 0.02, "+0.020"),
        ("feedback_rate", 0.0, "0.0 %"),
        ("latency", None, "unknown"),
        ("latency", 1e6, "over +9,900 %"),
    ],
)
def test_harm_is_told_in_the_unit_in_which_people_think_of_the_metric(name, value, said):
    assert words.harm(name, value) == said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("error_rate", 0.0104, "1.04 %"),
        ("latency", 1139.4, "1,139 ms"),
        ("token_count", 191.06, "191.1"),
        ("relevance", 0.7414, "0.741"),
        ("user_feedback", None, "unknown"),
    ],
)
def test_the_arms_are_told_in_their_own_unit(name, value, said):
    assert words.level(name, value) == said


def test_a_band_names_its_unit_once_and_is_unknown_without_an_end():
    assert words.between("error_rate", -0.01, 0.02) == "\N{MINUS SIGN}1.00 to +2.00 points"
    assert words.between("relevance", -0.01, 0.02) == "\N{MINUS SIGN}0.010 to +0.020"
    assert words.between("latency", None, 0.1) == "unknown"


def test_what_is_missing_is_told_without_the_figures_of_every_metric():
    last = look(
        AWAITS, "latency: undecided; 3 on the canary", reasons=["latency: undecided; 3 on the canary"]
    )
    running = canary(reasons=last.reasons)
    assert words.missing(running, last) == [AWAITS]
    assert words.to_do(running, last)[0] == (
        "approve a share of 25 %",
        "gateway-tuning canary approve c --share 0.25",
    )


def test_what_was_approved_since_the_last_look_is_missing_no_more():
    last = look(AWAITS, "latency has no data")
    approved = canary(reasons=last.reasons, approved_share=0.5)
    assert words.missing(approved, last) == ["latency has no data"]
    assert words.missing(replace(approved, reasons=(AWAITS,)), look(AWAITS)) == ["its next look"]


def test_before_and_after_a_step_a_look_is_missing():
    assert words.missing(canary(), None) == ["its first look"]
    up = look("no harm found", decision="advance")
    assert words.missing(canary(reasons=up.reasons), up) == ["a look at the share of 10 %"]


def test_nobody_can_do_anything_about_a_canary_that_has_ended_but_override_an_inconclusive_one():
    ended = {"share": 0.0, "finished_at": START}
    for state in ("promoted", "rolled_back", "invalid", "superseded"):
        assert words.to_do(canary(state=state, **ended), look()) == []
        assert words.missing(canary(state=state, **ended), look()) == []
    (todo,) = words.to_do(canary(state="inconclusive", **ended), look())
    assert todo[1] == "gateway-tuning canary override c"
    assert words.to_do(canary(state="inconclusive", **ended), look(unsound=("the judge failed",))) == []


def test_the_head_says_who_is_on_what():
    assert words.headline(canary()) == ("Running: 10 % of users are on the candidate", "")
    assert "before a share of 10 % is approved" in words.headline(canary(share=0.0))[0]
    assert words.headline(canary(state="promoted"))[1] == "good"
    assert words.headline(canary(state="rolled_back")) == ("Rolled back: all users are on a", "bad")


def test_an_end_that_no_gateway_confirmed_is_not_called_verified():
    ended = canary(state="promoted", finished_at=START)
    assert words.verified(ended) == "not verified: no gateway was asked yet"
    asked = replace(ended, verification="g1 does not answer")
    assert words.verified(asked) == "not verified: g1 does not answer"
    assert words.verified(replace(asked, verified_at=START)) == "2026-01-01 00:00: g1 does not answer"


def test_approvals_are_told_as_the_highest_share():
    assert words.approved(canary()) == "up to 10 %"
    assert words.approved(canary(approved_share=0.0)) == "none yet"
    assert words.approved(canary(approved_share=1.0)) == "every share"
    assert words.approved(canary(CanaryPolicy())) == "every share; the policy asks nobody"


def test_times_are_told_by_their_two_largest_parts():
    for minutes, said in ((0, "under 1 min"), (59, "59 min"), (61, "1 h 1 min"), (3000, "2 d 2 h")):
        assert words.lasted(START, START + timedelta(minutes=minutes)) == said


def test_a_metric_without_data_says_what_would_give_it_some():
    seen = words.Seen(
        "relevance", "guardrail", "no_data", 0.02, 0, 0, None, None, None, None, None, "switch it on", None
    )
    assert words.told(seen) == "No data yet: switch it on."


def test_the_verdict_of_an_older_judge_is_read_without_what_it_did_not_write():
    old = {"name": "latency", "role": "guardrail", "status": "undecided", "margin": 0.1}
    (seen,) = words.metrics_of(look(results=[old | {"canary_users": 9, "control_users": 8}]))
    assert (seen.harm, seen.lacking, seen.tail) == (None, None, None)
