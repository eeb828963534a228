"""What is made of Mistral's word on a job. Pure."""

import math
from typing import Any

from gateway_tuning.training.job import Checkpoint, JobStatus, ProviderJob
from gateway_tuning.training.providers import answers
from gateway_tuning.training.providers.mistral.wire import STATUSES, WHO, Job

_LOSSES = {
    "train_loss": "train_loss",
    "valid_loss": "validation_loss",
    "valid_mean_token_accuracy": "validation_token_accuracy",
}


def status_of(job: Job) -> JobStatus:
    return STATUSES.get(job.status, JobStatus.RUNNING)


def seen(job: Job) -> ProviderJob:
    status = status_of(job)
    checkpoints = tuple(
        Checkpoint(one.step_number, _losses(one.metrics))
        for one in sorted(job.checkpoints, key=lambda one: one.step_number)
    )
    metrics: dict[str, float] = {}
    if checkpoints:
        last = checkpoints[-1]
        metrics |= {name: value for name, value in last.metrics.items() if math.isfinite(value)}
        metrics["steps"] = float(last.step)
    if job.trained_tokens is not None:
        metrics["tokens"] = float(job.trained_tokens)
    if status is JobStatus.SUCCEEDED:
        metrics |= _price(job.metadata)
    steps = job.hyperparameters.get("training_steps")
    progress = None
    if status is JobStatus.SUCCEEDED:
        progress = 1.0
    elif checkpoints and isinstance(steps, int) and steps > 0:
        progress = min(1.0, checkpoints[-1].step / steps)
    return ProviderJob(job.id, status, progress, _message(job, status), metrics, checkpoints)


def _price(metadata: dict[str, Any]) -> dict[str, float]:
    """`cost` is in dollars, as the tariff is; a price in another currency says so in its name."""
    cost, currency = metadata.get("cost"), metadata.get("cost_currency")
    if not isinstance(cost, int | float) or not isinstance(currency, str) or not math.isfinite(cost):
        return {}
    return {"cost" if currency == "USD" else f"cost_{currency.lower()}": float(cost)}


def _losses(metrics: dict[str, Any]) -> dict[str, float]:
    """One that is not finite is kept for early stopping to see."""
    told = {ours: metrics.get(theirs) for theirs, ours in _LOSSES.items()}
    return {name: float(value) for name, value in told.items() if isinstance(value, int | float)}


def _message(job: Job, status: JobStatus) -> str:
    last = max(job.events, key=lambda event: event.created_at, default=None)
    said = "" if last is None else str(last.data.get("error") or last.data.get("message") or "")
    if job.status not in STATUSES:
        return f"{WHO} says {job.status}, which is not known here; it counts as running"
    if status is JobStatus.FAILED:
        return f"{WHO}: {answers.explained(None, said or job.status)}"
    if job.status in {"QUEUED", "RUNNING", "SUCCESS", "CANCELLED"}:
        return answers.quoted(said)
    return job.status.lower().replace("_", " ")
