"""How long a job goes on. Pure."""

from datetime import datetime, timedelta

from gateway_tuning.training.job import JobStatus
from gateway_tuning.training.jobs import TuningJob

_LEAST = 0.01  # of the way: what came before says little of the rest


def remaining(job: TuningJob, now: datetime) -> timedelta | None:
    """Until the end, if it goes on as it went up to when its provider last told anything new; never below zero.

    None while the job is not at work, stands still or is being stopped, and where its provider tells no progress.
    """
    done = job.progress
    if (
        job.status is not JobStatus.RUNNING
        or job.stale_since is not None
        or job.stop_requested_at is not None
    ):
        return None
    if done is None or done < _LEAST or job.started_at is None or job.moved_at is None:
        return None
    took = job.moved_at - job.started_at
    if took <= timedelta(0):
        return None
    return max(took * ((1 - done) / done) - (now - job.moved_at), timedelta(0))
