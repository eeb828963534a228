"""Successive halving against Optuna's own, and what ours has besides."""

import math

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.training.search.halving import Judged, judge
from gateway_tuning.training.search.plan import Pruning
from gateway_tuning.training.search.trial import TrialState
from tests.unit.training.search.conftest import make_trial

HALVING = Pruning(kind="successive_halving", min_steps=2, reduction_factor=2)
losses = st.lists(st.floats(0, 9) | st.just(math.nan), min_size=1, max_size=9)


def reports(*values):
    return tuple(enumerate(values, 1))


@given(st.lists(losses, min_size=1, max_size=8), st.integers(2, 4), st.integers(1, 3))
def test_one_after_another_trials_end_at_the_step_where_optuna_prunes_them(curves, factor, least):
    policy = Pruning(kind="successive_halving", min_steps=least, reduction_factor=factor)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=factor)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=pruner)
    ended = []
    for number, curve in enumerate(curves, 1):
        theirs, trial = None, study.ask()
        for step, loss in enumerate(curve, 1):
            trial.report(loss, step)
            if trial.should_prune():
                theirs = step
                break
        study.tell(trial, state=optuna.trial.TrialState.PRUNED if theirs else optuna.trial.TrialState.FAIL)

        ours, mine = None, make_trial(number, state=TrialState.RUNNING)
        for step in range(1, len(curve) + 1):
            mine = make_trial(
                number, state=TrialState.RUNNING, rungs=mine.rungs, reports=reports(*curve[:step])
            )
            found = judge(policy, mine, ended)
            mine = make_trial(number, state=TrialState.PRUNED, rungs=found.rungs, reports=mine.reports)
            if found.stop_at is not None:
                ours = step
                break
        ended.append(mine)

        assert ours == theirs, (number, curve)


def test_a_trial_is_judged_once_at_a_rung_and_not_again_when_better_ones_come():
    mine = make_trial(1, state=TrialState.RUNNING, reports=reports(5.0, 5.0))
    passed = judge(HALVING, mine, [])
    better = make_trial(2, state=TrialState.RUNNING, rungs=1, reports=reports(1.0, 1.0))

    assert passed == Judged(1)
    assert judge(HALVING, make_trial(1, rungs=1, reports=mine.reports), [better]) == Judged(1)


def test_the_defaults_are_never_stopped_and_all_are_held_against_them():
    default = make_trial(0, 1.0, reports=reports(1.0, 1.0, 1.0, 1.0))
    worse = make_trial(1, state=TrialState.RUNNING, reports=reports(2.0, 2.0))

    assert judge(HALVING, worse, [default]) == Judged(1, stop_at=2)
    assert judge(HALVING, make_trial(0, reports=reports(9.0, 9.0)), [worse]).stop_at is None


def test_a_trial_that_came_to_its_end_between_two_looks_counts_at_its_rungs():
    ended = make_trial(1, 1.0, reports=reports(1.0, 1.0))
    worse = make_trial(2, state=TrialState.RUNNING, reports=reports(2.0, 2.0))

    assert judge(HALVING, worse, [ended]).stop_at == 2


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_a_trial_at_its_first_rung(loss):
    assert (
        judge(HALVING, make_trial(1, state=TrialState.RUNNING, reports=reports(1.0, loss)), []).stop_at == 2
    )


def test_brackets_of_hyperband_begin_to_judge_at_different_steps():
    policy = Pruning(kind="hyperband", min_steps=1, reduction_factor=3, max_steps=9)
    default = make_trial(0, 0.1, reports=reports(*[0.1] * 9))

    def stop_at(number):
        trial = make_trial(number, state=TrialState.RUNNING, reports=reports(*[5.0] * 9))
        return judge(policy, trial, [default]).stop_at

    assert [stop_at(number) for number in (1, 2, 3, 4)] == [1, 3, 9, 1]


def test_without_a_pruner_nothing_is_stopped():
    assert judge(Pruning(), make_trial(1, reports=reports(math.nan)), []) == Judged(0)
