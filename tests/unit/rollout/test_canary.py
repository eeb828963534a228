from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.rollout.canary import Failure, Freshness, advance, begin
from gateway_tuning.rollout.judge import MetricResult, Verdict, metrics
from gateway_tuning.rollout.policy import CanaryPolicy

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = CanaryPolicy(
    stages=(0.1, 0.25, 0.5),
    stage_seconds=60,
    max_seconds=3600,
    stale_seconds=120,
    min_users=20,
    min_rated_users=30,
    metrics_to_monitor=("error_rate", "latency", "user_feedback"),
)
NAMES = tuple(metric.name for metric in metrics(POLICY))
GOOD_STATUSES, OPEN_STATUSES = ["non_inferior"] * len(NAMES), ["undecided"] * len(NAMES)


def at(seconds):
    return START + timedelta(seconds=seconds)


def started(**changes):
    canary = begin(
        "c1", tenant="t", model="m", candidate="v2", control="v1", policy=POLICY, salt="s", now=START
    )
    return replace(canary, **changes)


def found(*statuses, users=100, balanced=True):
    results = tuple(
        MetricResult(name, "guardrail", status, 0.1, 0.3, users, users)
        for name, status in zip(NAMES, statuses, strict=False)
    )
    return Verdict(results, users, users, balanced, None, 0, ("numbers",))


GOOD = found(*GOOD_STATUSES)
OPEN = found(*OPEN_STATUSES)


def fresh(seconds):
    return Freshness(at(seconds), at(seconds), 0)


def last_stage(**changes):
    return started(stage=2, share=0.5, **changes)


def test_a_harmless_stage_advances_after_its_time_and_not_before():
    early, hold = advance(started(), OPEN, fresh(30), at(30))
    later, decision = advance(started(), OPEN, fresh(61), at(61))
    assert (hold.kind, early.stage, early.looks) == ("hold", 0, 1)
    assert (decision.kind, later.stage, later.share, later.stage_started_at) == ("advance", 1, 0.25, at(61))


def test_an_early_stage_never_promotes_however_good_it_looks():
    canary, decision = advance(started(), GOOD, fresh(100), at(100))
    assert (decision.kind, canary.state) == ("advance", "running")


def test_the_last_stage_promotes_only_when_every_metric_is_within_its_margin():
    undecided = found(*GOOD_STATUSES[1:], "undecided")
    assert advance(last_stage(), undecided, fresh(100), at(100))[1].kind == "hold"
    canary, decision = advance(last_stage(), GOOD, fresh(100), at(100))
    assert (decision.kind, canary.state, canary.share, canary.finished_at) == (
        "promote",
        "promoted",
        0.0,
        at(100),
    )


def test_harm_rolls_back_at_any_look_even_before_the_stage_has_lasted():
    canary, decision = advance(started(), found("harmed", "no_data", "no_data", users=6), fresh(1), at(1))
    assert (decision.kind, canary.state, canary.share) == ("roll_back", "rolled_back", 0.0)
    assert "error rate" in decision.reasons[0]


def test_an_unequal_split_or_a_void_comparison_is_invalid():
    unequal = found(*GOOD_STATUSES, balanced=False)
    assert advance(last_stage(), unequal, fresh(100), at(100))[0].state == "invalid"
    voided = Failure("the alias moved", voids=True)
    assert advance(last_stage(), voided, fresh(100), at(100))[0].state == "invalid"


def test_too_few_users_or_a_metric_without_data_hold():
    few = found(*GOOD_STATUSES, users=19)
    assert advance(last_stage(), few, fresh(100), at(100))[1].kind == "hold"
    missing = found("non_inferior", "non_inferior", "no_data", "non_inferior")
    canary, decision = advance(started(), missing, fresh(100), at(100))
    assert (decision.kind, canary.share) == ("hold", 0.1)
    assert "no data for user feedback" in decision.reasons


def test_a_verdict_without_metrics_never_promotes_or_advances():
    empty = Verdict((), 100, 100, True, None, 0, ())
    for canary in (started(), last_stage()):
        assert advance(canary, empty, fresh(100), at(100))[1].kind == "hold"


def test_a_judge_that_fails_holds_and_says_why():
    canary, decision = advance(last_stage(), Failure("the judge failed: boom"), fresh(100), at(100))
    assert (decision.kind, canary.looks, decision.reasons) == ("error", 1, ("the judge failed: boom",))


def test_data_that_stopped_arriving_on_both_sides_holds():
    assert advance(last_stage(), GOOD, fresh(100), at(221))[1].kind == "hold"
    never = Freshness(None, None, 0)
    assert advance(started(), GOOD, never, at(121))[1].kind == "hold"


def test_a_canary_silent_beside_a_busy_control_is_rolled_back():
    silent = Freshness(at(10), at(200), control_users_since=25)
    canary, decision = advance(started(), OPEN, silent, at(200))
    assert (decision.kind, canary.share) == ("roll_back", 0.0)
    chance = Freshness(at(10), at(200), control_users_since=2)
    assert advance(started(), OPEN, chance, at(200))[1].kind == "hold"


def test_a_canary_that_never_answered_beside_a_busy_control_is_rolled_back():
    never = Freshness(None, at(120), control_users_since=22)
    nothing = found("no_data", "no_data", "no_data", users=0)
    assert advance(started(), nothing, never, at(121))[1].kind == "roll_back"


def test_an_undecided_canary_past_its_time_is_inconclusive_even_if_the_judge_fails():
    for findings in (OPEN, Failure("the judge failed: boom")):
        canary, decision = advance(last_stage(), findings, fresh(3601), at(3601))
        assert (decision.kind, canary.state, canary.share) == ("inconclusive", "inconclusive", 0.0)


def test_a_proof_that_comes_with_the_last_look_still_promotes():
    assert advance(last_stage(), GOOD, fresh(3601), at(3601))[0].state == "promoted"


def test_a_clock_that_went_back_advances_nothing_and_is_remembered():
    canary, _ = advance(started(), found("no_data"), fresh(100), at(100))
    back, decision = advance(canary, OPEN, fresh(100), at(90))
    assert (decision.kind, back.stage, back.last_look_at) == ("hold", 0, at(100))
    assert advance(back, OPEN, fresh(100), at(95))[1].kind == "hold"
    assert advance(back, OPEN, fresh(100), at(101))[1].kind == "advance"


statuses = st.sampled_from(["harmed", "non_inferior", "undecided", "no_data"])
verdicts = st.builds(
    lambda s, users, balanced: found(*s, users=users, balanced=balanced),
    st.one_of(
        st.just(GOOD_STATUSES),
        st.just(OPEN_STATUSES),
        st.lists(statuses, min_size=0, max_size=len(NAMES)),
    ),
    st.integers(0, 60),
    st.sampled_from([True, True, True, False]),
)
failures = st.builds(Failure, st.just("broken"), st.sampled_from([False, False, True]))
instants = st.integers(-500, 4500)
freshnesses = st.builds(
    lambda canary, control, users: Freshness(
        None if canary is None else at(canary), None if control is None else at(control), users
    ),
    st.none() | instants,
    st.none() | instants,
    st.integers(0, 30),
)
looks = st.lists(st.tuples(verdicts | failures, freshnesses, instants), max_size=12)


@given(looks)
def test_whatever_is_seen_the_rules_of_safety_hold(sequence):
    canary = started()
    for findings, freshness, seconds in sequence:
        before, (canary, decision) = canary, advance(canary, findings, freshness, at(seconds))
        if before.state != "running":
            assert canary == before
            assert decision.kind == "hold"
            continue
        assert canary.looks == before.looks + 1
        if decision.kind in {"advance", "promote"}:
            assert_allowed(before, findings, freshness, at(seconds))
        if decision.kind == "promote":
            assert before.stage == 2
            assert {one.status for one in findings.results} == {"non_inferior"}
        assert canary.share <= POLICY.stages[canary.stage]
        assert canary.stage <= before.stage + (decision.kind == "advance")
        assert (canary.share == 0.0) == (canary.state != "running")
        assert (canary.state == "running") == (decision.kind in {"hold", "error", "advance"})


def assert_allowed(before, findings, freshness, now):
    assert isinstance(findings, Verdict)
    assert findings.balanced
    assert findings.results
    assert not {"harmed", "no_data"} & {one.status for one in findings.results}
    assert min(findings.canary_users, findings.control_users) >= POLICY.min_users
    assert now - before.stage_started_at >= timedelta(seconds=POLICY.stage_seconds)
    assert before.last_look_at is None or now >= before.last_look_at
    last = max(freshness.canary or before.started_at, before.started_at)
    assert now - last <= timedelta(seconds=POLICY.stale_seconds)
