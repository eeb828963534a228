"""Approvals, overrides, times and the freshness of data; and faults that others had, by their names."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway_tuning.rollout.canary import Failure, Freshness, Override, advance, approved_up_to, begin
from gateway_tuning.rollout.policy import CanaryPolicy
from tests.unit.rollout.test_canary import (
    GOOD,
    GOOD_STATUSES,
    NAMES,
    OPEN,
    OPEN_STATUSES,
    POLICY,
    START,
    at,
    found,
    fresh,
    last_stage,
    started,
)

TWO = ("user:anna", "user:ben")
BROKEN = Failure("the judge failed: boom")
NO_DATA = found(*["no_data"] * len(NAMES))


def begun(**policy):
    return begin(
        "c1",
        tenant="t",
        model="m",
        candidate="v2",
        control="v1",
        policy=CanaryPolicy(**POLICY.model_dump() | policy),
        salt="s",
        now=START,
    )


def test_without_approvals_every_stage_may_be_served():
    canary = begun()
    assert (canary.share, canary.approved_share, canary.unapproved_share) == (0.1, None, None)


@pytest.mark.parametrize(
    ("named", "approved", "share"), [((0.25, 1.0), 0.1, 0.1), ((0.1,), 0.0, 0.0), ((1.0,), 0.5, 0.1)]
)
def test_a_canary_begins_below_the_first_share_that_a_person_must_approve(named, approved, share):
    canary = begun(approve_before=named)
    assert (canary.approved_share, canary.share) == (approved, share)


def test_an_approval_reaches_up_to_the_next_share_that_is_named():
    policy = begun(approve_before=(0.25, 1.0)).policy
    assert approved_up_to(policy, 0.25) == 0.5
    assert approved_up_to(policy, 1.0) == 1.0


def test_a_stage_that_awaits_its_approval_holds_asks_for_it_and_goes_on_once_it_is_there():
    canary = begun(approve_before=(0.25,))
    held, decision = advance(canary, OPEN, fresh(61), at(61))
    assert (decision.kind, decision.asks, held.share) == ("hold", 0.25, 0.1)
    assert decision.reasons[0] == "a share of 0.25 awaits the approval of a person"
    went, decision = advance(replace(held, approved_share=1.0), OPEN, fresh(62), at(62))
    assert (decision.kind, went.share) == ("advance", 0.25)


def test_nobody_is_asked_before_everything_else_is_there():
    canary = begun(approve_before=(0.25,))
    for findings in (NO_DATA, BROKEN):
        assert advance(canary, findings, fresh(61), at(61))[1].asks is None
    assert advance(canary, OPEN, fresh(30), at(30))[1].asks is None


def test_a_promotion_that_awaits_its_approval_holds_however_good_it_looks():
    canary = replace(begun(approve_before=(1.0,)), stage=2, share=0.5)
    held, decision = advance(canary, GOOD, fresh(100), at(100))
    assert (held.state, decision.kind, decision.asks) == ("running", "hold", 1.0)
    approved = replace(held, approved_share=1.0)
    assert advance(approved, GOOD, fresh(101), at(101))[0].state == "promoted"


def test_a_first_stage_that_awaits_its_approval_serves_nobody_and_is_not_taken_for_silent():
    canary = begun(approve_before=(0.1,))
    nobody = Freshness(None, None, 0)
    waiting, decision = advance(canary, NO_DATA, nobody, at(1000))
    assert (waiting.share, decision.kind, decision.asks) == (0.0, "hold", 0.1)
    begins, decision = advance(replace(waiting, approved_share=1.0), NO_DATA, nobody, at(1001))
    assert (begins.share, begins.stage, begins.stage_started_at) == (0.1, 0, at(1001))
    assert decision.reasons[0] == "0.1 is approved"
    busy = Freshness(None, at(1100), control_users_since=20)
    assert advance(begins, OPEN, busy, at(1100))[1].kind == "hold"  # silent for 99 s, not since the start


def test_harm_ends_a_canary_that_awaits_an_approval():
    canary = begun(approve_before=(0.25,))
    assert advance(canary, found("harmed"), fresh(61), at(61))[0].state == "rolled_back"


def test_two_people_may_take_a_step_that_is_not_proven_yet():
    canary = last_stage()
    held, decision = advance(canary, OPEN, fresh(100), at(100), Override(1.0, TWO))
    assert (held.state, held.share, decision.kind) == ("promoted", 0.0, "promote")
    assert held.ended_by == "user:anna and user:ben"
    assert "overrode what was missing for the promotion" in decision.reasons[0]
    early, _ = advance(started(), NO_DATA, fresh(1), at(1), Override(0.25, TWO))
    assert (early.share, early.ended_by) == (0.25, None)


def test_an_override_approves_its_own_share_and_no_further():
    canary = begun(approve_before=(0.25, 0.5))
    went, _ = advance(canary, OPEN, fresh(61), at(61), Override(0.25, TWO))
    assert (went.share, went.approved_share, went.unapproved_share) == (0.25, 0.25, 0.5)
    assert advance(went, OPEN, fresh(200), at(200))[1].asks == 0.5


def test_an_override_of_another_step_is_none():
    assert advance(started(), NO_DATA, fresh(1), at(1), Override(0.5, TWO))[1].kind == "hold"


@pytest.mark.parametrize(
    ("findings", "freshness", "now", "ends"),
    [
        (found("harmed", *OPEN_STATUSES[1:]), fresh(100), 100, "rolled_back"),
        (found(*GOOD_STATUSES, balanced=False), fresh(100), 100, "invalid"),
        (Failure("erased", voids=True), fresh(100), 100, "invalid"),
        (BROKEN, fresh(100), 100, "running"),
        (OPEN, fresh(100), 221, "running"),
        (found("error_rate"), fresh(100), 100, "running"),
    ],
    ids=["harm", "unequal arms", "void", "no findings", "stale data", "half a verdict"],
)
def test_no_override_goes_over(findings, freshness, now, ends):
    canary, _ = advance(last_stage(), findings, freshness, at(now), Override(1.0, TWO))
    assert canary.state == ends


def test_an_override_comes_before_the_end_of_the_time():
    ended, _ = advance(last_stage(), OPEN, fresh(3601), at(3601), Override(1.0, TWO))
    assert ended.state == "promoted"


def test_a_stage_that_takes_longer_than_it_may_is_inconclusive():
    canary = replace(begun(stage_max_seconds=300), stage=1, share=0.25, stage_started_at=at(100))
    assert advance(canary, NO_DATA, fresh(400), at(400))[1].kind == "hold"
    ended, decision = advance(canary, NO_DATA, fresh(401), at(401))
    assert (ended.state, ended.share) == ("inconclusive", 0.0)
    assert "a stage of 0.25 undecided after 300 s" in decision.reasons[0]


def test_an_approval_that_nobody_gives_in_time_is_inconclusive():
    canary = begun(approve_before=(0.25,), stage_max_seconds=300)
    assert advance(canary, OPEN, fresh(301), at(301))[0].state == "inconclusive"


def test_a_stage_needs_data_of_its_own_from_both_arms():
    canary = started(stage=1, share=0.25, stage_started_at=at(100))
    before, in_it = at(90), at(150)
    for freshness in (Freshness(before, in_it, 0), Freshness(in_it, before, 0)):
        assert advance(canary, OPEN, freshness, at(170))[1].kind == "hold"
    assert advance(canary, OPEN, Freshness(in_it, in_it, 0), at(170))[1].kind == "advance"


def test_what_the_judge_holds_goes_no_further_at_any_stage():
    doubtful = replace(GOOD, holds=("who rates is no longer comparable",))
    for canary in (started(), last_stage()):
        assert advance(canary, doubtful, fresh(100), at(100))[1].kind == "hold"


def test_a_score_below_its_threshold_keeps_from_promotion_and_from_nothing_else():
    low = replace(GOOD, against_promotion=("the score 0.900 is below the threshold 0.95",))
    assert advance(last_stage(), low, fresh(100), at(100))[1].kind == "hold"
    assert advance(started(), low, fresh(100), at(100))[1].kind == "advance"


def test_a_canary_from_a_far_future_is_invalid_instead_of_waiting_for_it():
    canary = started(started_at=at(0) + timedelta(days=3650), stage_started_at=at(0) + timedelta(days=3650))
    assert advance(canary, OPEN, fresh(10), at(10))[0].state == "invalid"


def test_argo_3850_an_inconclusive_look_never_promotes():
    undecided = found(*GOOD_STATUSES[1:], "undecided")
    canary = last_stage()
    for minute in range(1, 60):
        canary, decision = advance(canary, undecided, fresh(60 * minute), at(60 * minute))
        assert decision.kind == "hold"
    assert advance(canary, undecided, fresh(3601), at(3601))[0].state == "inconclusive"


@pytest.mark.parametrize("findings", [BROKEN, NO_DATA, found()], ids=["errors", "no data", "nothing"])
def test_argo_4479_a_run_whose_measurements_all_failed_is_no_success(findings):
    canary, seen = started(), set()
    for minute in range(1, 62):
        canary, decision = advance(canary, findings, fresh(60 * minute), at(60 * minute))
        seen.add(decision.kind)
    assert canary.state == "inconclusive"
    assert seen <= {"hold", "error", "inconclusive"}


@pytest.mark.parametrize(
    "stopped", [(50, 900), (900, 50), (50, 50)], ids=["of the canary", "of the control", "of both"]
)
def test_flagger_1011_data_that_stops_arriving_in_the_middle_advances_nothing(stopped):
    canary_at, control_at = stopped
    freshness = Freshness(at(canary_at), at(control_at), 0)
    for canary in (started(), last_stage()):
        after, decision = advance(canary, GOOD, freshness, at(900))
        assert (decision.kind, after.share) == ("hold", canary.share)


def test_flagger_1581_a_metric_that_nobody_knows_does_not_pass():
    stranger = replace(GOOD.results[0], name="happiness")
    with_stranger = replace(GOOD, results=(*GOOD.results, stranger))
    instead = replace(GOOD, results=(stranger, *GOOD.results[1:]))
    assert (
        "happiness is no metric of the policy"
        in advance(last_stage(), with_stranger, fresh(100), at(100))[1].reasons
    )
    assert (
        "the judge said nothing of error_rate"
        in advance(last_stage(), instead, fresh(100), at(100))[1].reasons
    )
    with pytest.raises(ValueError, match="happiness"):
        CanaryPolicy(metrics_to_monitor=("happiness",))
