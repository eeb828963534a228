"""Asynchronous successive halving and hyperband on validation losses. Pure.

At each rung (the steps min, min * factor, min * factor², ...) a trial is judged once, when it arrives: it goes on if its
loss is among the best one of `reduction_factor` of those that have arrived there; while fewer than that have, if it is the
best. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020; hyperband, Li et al., JMLR 2018: its
brackets differ in their first rung, and trials compete within their bracket.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gateway_tuning.training.search.plan import Pruning
from gateway_tuning.training.search.trial import Report, Trial, TrialState


@dataclass(frozen=True, slots=True)
class Judged:
    """`rungs` are behind the trial now. `stop_at` is the step of the rung that it does not go on from."""

    rungs: int
    stop_at: int | None = None


def judge(policy: Pruning, trial: Trial, others: Sequence[Trial]) -> Judged:
    """The rungs that the trial has reached since it was last judged. Trial 0 is what all are held against, and goes on."""
    if policy.kind == "none" or trial.number == 0:
        return Judged(trial.rungs)
    bracket = _bracket(policy, trial.number)
    rivals = [other for other in others if other.number == 0 or _bracket(policy, other.number) == bracket]
    rungs = trial.rungs
    while True:
        step = policy.min_steps * policy.reduction_factor ** (rungs + bracket)
        loss = _loss_at(trial.reports, step)
        if loss is None:
            return Judged(rungs)
        arrived = [_loss_at(rival.reports, step) for rival in rivals if _was_here(rival, rungs)]
        losses = [*(found for found in arrived if found is not None), loss]
        if not _goes_on(loss, losses, policy.reduction_factor):
            return Judged(rungs + 1, stop_at=step)
        rungs += 1


def _was_here(rival: Trial, rungs: int) -> bool:
    """Who was judged at this rung, or never will be. Who has passed the step and will be comes after this one."""
    return rival.rungs > rungs or rival.number == 0 or rival.state is TrialState.COMPLETE


def _bracket(policy: Pruning, number: int) -> int:
    """Trials take turns. Successive halving is the first bracket alone."""
    if policy.kind != "hyperband" or policy.max_steps is None:
        return 0
    brackets, longest = 0, policy.min_steps
    while longest <= policy.max_steps:
        brackets, longest = brackets + 1, longest * policy.reduction_factor
    return (number - 1) % brackets


def _loss_at(reports: Sequence[Report], step: int) -> float | None:
    """At the first look from this step on."""
    return next((loss for at, loss in reports if at >= step), None)


def _goes_on(loss: float, losses: Sequence[float], factor: int) -> bool:
    if not math.isfinite(loss):
        return False
    finite = sorted(found for found in losses if math.isfinite(found))
    return loss <= finite[max(1, len(finite) // factor) - 1]
