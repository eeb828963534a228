"""When a job stands still, has taken too long, or trains on without getting better."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway_tuning.training.job import Checkpoint, JobStatus

VALIDATION_LOSS = "validation_loss"


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one job. `early_stopping_patience` 0: never for its validation loss."""

    early_stopping_patience: int = 3
    early_stopping_min_delta: float = 0.0
    max_training_hours: float = 6.0
    max_queue_hours: float = 24.0
    stale_hours: float = 2.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of an unfinished job. `started_at` is None while it has never run.

    `checkpoints` are all that were ever seen, `offered` those that the provider still shows.
    """

    status: JobStatus
    created_at: datetime
    started_at: datetime | None
    moved_at: datetime
    checkpoints: tuple[Checkpoint, ...] = ()
    offered: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a job is to be cancelled, and the checkpoint that takes the place of its result."""

    reason: str
    kept: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`stale_for` is None while the job moves; `note` tells what is odd and changes nothing."""

    stop: Stop | None = None
    stale_for: timedelta | None = None
    note: str = ""


def assess(limits: Limits, sight: Sight, *, now: datetime) -> Verdict:
    """A job is stopped early only where a checkpoint can be kept: what was paid for is never thrown away for it."""
    kept = best_offered(sight.offered)
    stop = _overdue(limits, sight, kept, now)
    note = ""
    if stop is None and patience_is_spent(sight.checkpoints, limits):
        told = f"the validation loss has not improved for {limits.early_stopping_patience} checkpoints"
        if kept is None:
            note = f"{told}; the provider offers no checkpoint to keep, so the job goes on"
        else:
            stop = Stop(f"stopped early: {told}", kept)
    still = now - sight.moved_at
    return Verdict(stop, still if still >= timedelta(hours=limits.stale_hours) else None, note)


def _overdue(limits: Limits, sight: Sight, kept: Checkpoint | None, now: datetime) -> Stop | None:
    if sight.started_at is not None:
        if now - sight.started_at >= timedelta(hours=limits.max_training_hours):
            return Stop(f"trained for longer than max_training_hours={limits.max_training_hours:g}", kept)
        return None
    if sight.status is JobStatus.QUEUED and now - sight.created_at >= timedelta(hours=limits.max_queue_hours):
        return Stop(f"waited for longer than {limits.max_queue_hours:g} hours to begin")
    return None


def patience_is_spent(checkpoints: Sequence[Checkpoint], limits: Limits) -> bool:
    """Whether, at some point, so many validation losses in a row were no better than the best before them.

    Checkpoints without one are no look at it; one that is not a number is a look without a gain.
    """
    if limits.early_stopping_patience <= 0:
        return False
    best, without_gain = math.inf, 0
    for loss in _losses(checkpoints):
        if loss < best - limits.early_stopping_min_delta:
            best, without_gain = loss, 0
        else:
            without_gain += 1
            if without_gain >= limits.early_stopping_patience:
                return True
    return False


def best_offered(offered: Sequence[Checkpoint]) -> Checkpoint | None:
    """The one with the lowest validation loss that can be asked; the newest where none tells its loss."""
    askable = [checkpoint for checkpoint in offered if checkpoint.served_model is not None]
    if not askable:
        return None
    return min(askable, key=lambda checkpoint: (_loss(checkpoint), -checkpoint.step))


def merged(known: Sequence[Checkpoint], seen: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """By step; a provider may forget old ones, and what it says last of one counts."""
    by_step = {checkpoint.step: checkpoint for checkpoint in (*known, *seen)}
    return tuple(by_step[step] for step in sorted(by_step))


def _losses(checkpoints: Sequence[Checkpoint]) -> list[float]:
    return [_loss(checkpoint) for checkpoint in checkpoints if VALIDATION_LOSS in checkpoint.metrics]


def _loss(checkpoint: Checkpoint) -> float:
    loss = checkpoint.metrics.get(VALIDATION_LOSS, math.inf)
    return math.inf if math.isnan(loss) else loss
