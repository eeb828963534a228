from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.rollout.canary import begin
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.reporting.steps import Glance, Step, steps
from gateway_tuning.rollout.reporting.story import chosen

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = CanaryPolicy(stages=(0.1, 0.25, 0.5))


def at(minutes):
    return START + timedelta(minutes=minutes)


def canary(policy=POLICY, **changes):
    begun = begin("c", tenant="t", model="m", candidate="b", control="a", policy=policy, salt="s", now=START)
    return replace(begun, **changes)


def test_a_canary_that_was_not_looked_at_has_its_first_share():
    assert steps(canary(), []) == (Step(0.1, START, None, 0, None),)


def test_a_canary_that_waits_for_its_first_share_serves_nobody():
    waiting = canary(POLICY.model_copy(update={"approve_before": (0.1,)}))
    assert steps(waiting, []) == (Step(0.0, START, None, 0, None),)


def test_shares_follow_the_looks_that_changed_them():
    glances = [
        Glance(1, at(1), 0.1, "hold"),
        Glance(2, at(2), 0.1, "advance"),
        Glance(3, at(3), 0.25, "hold"),
        Glance(4, at(4), 0.25, "advance"),
    ]
    assert steps(canary(share=0.5, stage=2), glances) == (
        Step(0.1, START, at(2), 2, "advance"),
        Step(0.25, at(2), at(4), 2, "advance"),
        Step(0.5, at(4), None, 0, None),
    )


def test_an_abort_ends_the_share_when_it_was_said():
    ended = canary(state="rolled_back", share=0.0, finished_at=at(9))
    assert steps(ended, [Glance(1, at(1), 0.1, "hold")]) == (Step(0.1, START, at(9), 1, "rolled_back"),)


def test_an_inconclusive_end_that_two_people_turned_ended_its_share_at_the_look():
    promoted = canary(state="promoted", share=0.0, finished_at=at(60))
    assert steps(promoted, [Glance(1, at(2), 0.1, "inconclusive")]) == (
        Step(0.1, START, at(2), 1, "promoted"),
    )


@given(st.lists(st.sampled_from(["hold", "advance", "error"]), max_size=40))
def test_steps_leave_no_gap_and_count_every_look_once(decisions):
    glances, stage = [], 0
    for number, decision in enumerate(decisions, start=1):
        if decision == "advance" and stage == len(POLICY.stages) - 1:
            decision = "hold"  # noqa: PLW2901 - there is no further stage
        glances.append(Glance(number, at(number), POLICY.stages[stage], decision))
        stage += decision == "advance"

    found = steps(canary(share=POLICY.stages[stage], stage=stage), glances)

    assert found[0].since == START
    assert [step.until for step in found[:-1]] == [step.since for step in found[1:]]
    assert found[-1].until is None
    assert sum(step.looks for step in found) == len(glances)
    assert [step.share for step in found] == list(POLICY.stages[: stage + 1])


@given(st.integers(0, 3000), st.sets(st.integers(0, 2999), max_size=9), st.integers(2, 300))
def test_of_many_looks_the_first_the_last_and_every_step_are_drawn(count, advances, at_most):
    glances = [
        Glance(number + 1, at(number), 0.1, "advance" if number in advances else "hold")
        for number in range(count)
    ]

    found = chosen(glances, at_most)

    assert len(found) <= at_most + len(advances)
    assert found == sorted(set(found))
    assert not count or (found[0], found[-1]) == (1, count)
    assert {number + 1 for number in advances if number < count} <= set(found)
    assert count > at_most or len(found) == count
