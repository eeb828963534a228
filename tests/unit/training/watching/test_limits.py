import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.training.job import Checkpoint, JobStatus
from gateway_tuning.training.watching.limits import (
    Limits,
    Sight,
    assess,
    best_offered,
    merged,
    patience_is_spent,
)
from tests.conftest import NOW

losses = st.lists(st.floats(0, 10, allow_nan=False) | st.just(math.nan), max_size=12)


def checkpoints(values, served=True):
    return tuple(
        Checkpoint(step, {"validation_loss": loss}, f"m{step}" if served else None)
        for step, loss in enumerate(values, 1)
    )


def sight(values=(), offered=None, status=JobStatus.RUNNING, started_at=NOW, moved_at=NOW):
    seen = checkpoints(values)
    return Sight(status, NOW, started_at, moved_at, seen, seen if offered is None else offered)


@given(losses, st.integers(1, 4), st.floats(0, 1))
def test_patience_once_spent_stays_spent_whatever_comes_later(values, patience, delta):
    limits = Limits(early_stopping_patience=patience, early_stopping_min_delta=delta)
    verdicts = [patience_is_spent(checkpoints(values[:n]), limits) for n in range(len(values) + 1)]

    assert verdicts == sorted(verdicts)


@given(losses, st.integers(1, 4))
def test_patience_is_spent_only_after_that_many_looks_without_a_gain(values, patience):
    spent = patience_is_spent(checkpoints(values), Limits(early_stopping_patience=patience))

    def gains(position):
        before = [loss for loss in values[:position] if not math.isnan(loss)]
        return values[position] < min(before, default=math.inf)

    without = "".join("x" if gains(position) else "." for position in range(len(values)))
    assert spent == ("." * patience in without)


@given(losses)
def test_a_patience_of_zero_is_never_spent(values):
    assert not patience_is_spent(checkpoints(values), Limits(early_stopping_patience=0))


def test_a_gain_smaller_than_the_delta_is_none():
    values = checkpoints([1.0, 0.99, 0.98, 0.97])

    assert patience_is_spent(values, Limits(early_stopping_min_delta=0.1))
    assert not patience_is_spent(values, Limits())


def test_checkpoints_that_tell_no_validation_loss_are_no_looks():
    silent = tuple(Checkpoint(step, {"train_loss": 1.0}) for step in range(9))

    assert not patience_is_spent(silent, Limits())


def test_early_stopping_keeps_the_best_checkpoint_that_can_still_be_asked():
    seen = checkpoints([1.0, 0.5, 0.6, 0.7, 0.8])
    stop = assess(Limits(), sight([1.0, 0.5, 0.6, 0.7, 0.8], offered=seen[2:]), now=NOW).stop

    assert stop.kept.served_model == "m3"
    assert "not improved for 3 checkpoints" in stop.reason


def test_a_job_is_never_stopped_early_where_nothing_could_be_kept():
    values = [1.0, 2.0, 3.0, 4.0]
    verdict = assess(Limits(), sight(values, offered=checkpoints(values, served=False)), now=NOW)

    assert verdict.stop is None
    assert "no checkpoint to keep" in verdict.note


@pytest.mark.parametrize(("hours", "stopped"), [(5.9, False), (6.0, True)])
def test_training_ends_with_its_hours_counted_from_its_beginning_and_not_from_the_queue(hours, stopped):
    later = NOW + timedelta(hours=hours)
    waited = Sight(JobStatus.QUEUED, NOW - timedelta(hours=9), None, later)

    assert (assess(Limits(), sight(moved_at=later), now=later).stop is not None) == stopped
    assert assess(Limits(), waited, now=later).stop is None


def test_a_queue_without_end_ends():
    assert "to begin" in assess(Limits(), sight(status=JobStatus.QUEUED, started_at=None), now=NOW + timedelta(days=1)).stop.reason  # fmt: skip


def test_a_job_that_tells_nothing_new_is_stale_and_goes_on():
    verdict = assess(Limits(), sight(), now=NOW + timedelta(hours=2))

    assert (verdict.stale_for, verdict.stop) == (timedelta(hours=2), None)
    assert assess(Limits(), sight(), now=NOW + timedelta(hours=1.9)).stale_for is None


@given(losses)
def test_the_best_checkpoint_has_no_better_one_beside_it(values):
    best = best_offered(checkpoints(values))

    numbers = [loss for loss in values if not math.isnan(loss)]
    assert (best is None) == (not values)
    if numbers:
        assert best.metrics["validation_loss"] == min(numbers)


def test_checkpoints_that_a_provider_forgot_stay_known_in_the_order_of_their_steps():
    known, seen = checkpoints([3.0, 2.0]), (Checkpoint(2, {"validation_loss": 1.5}), Checkpoint(9))

    assert [(one.step, one.metrics.get("validation_loss")) for one in merged(known, seen)] == [(1, 3.0), (2, 1.5), (9, None)]  # fmt: skip
