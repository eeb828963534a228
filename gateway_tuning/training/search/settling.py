"""What became of a trial whose work has ended. Pure."""

import math
from dataclasses import dataclass, replace
from datetime import datetime

from gateway_tuning.training.job import JobStatus
from gateway_tuning.training.jobs import TuningJob
from gateway_tuning.training.search.plan import VALIDATION_LOSS, Objective
from gateway_tuning.training.search.trial import Trial, TrialState, reporting


@dataclass(frozen=True, slots=True)
class Ended:
    """`value` is None where the job tells none. `error` is what came in between."""

    number: int
    value: float | None = None
    error: Exception | None = None


def told_value(objective: Objective, job: TuningJob) -> float | None:
    """The metric as the provider tells it: of the checkpoint that stands for the result, of the whole job, of its end."""
    if job.kept is not None:
        return job.kept.metrics.get(objective.metric)
    last = job.checkpoints[-1].metrics if job.checkpoints else {}
    return job.metrics.get(objective.metric, last.get(objective.metric))


def settle(
    trial: Trial, ended: Ended, job: TuningJob, *, objective: Objective, now: datetime
) -> Trial | None:
    """The trial as it ended; None when it has not, and a later run goes on with it."""
    if not job.status.is_terminal:
        return None
    seen = replace(reporting(trial, job.checkpoints), ended_at=now)
    if job.status is JobStatus.SUCCEEDED:
        if ended.error is not None:
            return None
        return _measured(seen, ended.value, objective)
    if job.status is JobStatus.CANCELLED:
        last = seen.reports[-1][1] if seen.reports and objective.metric == VALIDATION_LOSS else None
        if seen.stopping is not None:
            return replace(seen, state=seen.stopping, value=last)
        if job.updated_at < trial.created_at:  # no failure: the time of an earlier search was over, say
            told = f"its job had been stopped before: {job.message}"
            return replace(seen, state=TrialState.STOPPED, value=last, message=told)
    return replace(seen, state=TrialState.FAILED, message=job.message or f"its job is {job.status}")


def _measured(trial: Trial, value: float | None, objective: Objective) -> Trial:
    if value is None:
        remedy = (
            "; where its provider never does, search by the objective similarity"
            if objective.metric == VALIDATION_LOSS
            else ""
        )
        told = f"its job tells no {objective.metric}{remedy}"
        return replace(trial, state=TrialState.FAILED, message=told)
    if not math.isfinite(value):
        return replace(trial, state=TrialState.FAILED, message=f"diverged: its {objective.metric} is {value}")
    return replace(trial, state=TrialState.COMPLETE, value=value, message="")
