"""A version's status while its tuning job goes on. Calling it again with the same changes nothing."""

from dataclasses import replace
from datetime import datetime

from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.protocol import VersionRegistry
from gateway_tuning.registry.statuses import UNFINISHED, ModelStatus
from gateway_tuning.training.job import JobStatus

# What is queued has not begun; what succeeded becomes available when its files are registered, and not before.
_STATUS_OF = {
    JobStatus.RUNNING: ModelStatus.TRAINING,
    JobStatus.FAILED: ModelStatus.FAILED,
    JobStatus.CANCELLED: ModelStatus.FAILED,
}


def follow_job(
    registry: VersionRegistry, wanted: ModelVersion, status: JobStatus, *, message: str, now: datetime
) -> ModelVersion:
    """Let the version that a job is to give stand in the registry as the job does.

    A version that is available or further is left alone: its job has ended long ago.

    Args:
        registry: where it stands, or is put.
        wanted: with the id that `register` will complete, `tuned_version_id`.
        status: of the job.
        message: the provider's last word, for the history.
        now: for the history.
    """
    known = registry.register(_begun(wanted))
    target = _STATUS_OF.get(status, ModelStatus.CREATED)
    # A job that was declared again waits in the status that its version had.
    if target in {ModelStatus.CREATED, known.status} or known.status not in UNFINISHED:
        return known
    return registry.change_status(
        known.id,
        target,
        reason=message or f"its job is {status}",
        now=now,
        by=f"job {wanted.job_key[:12]}" if wanted.job_key else None,
        expected_revision=known.revision,
    )


def _begun(wanted: ModelVersion) -> ModelVersion:
    return replace(wanted, status=ModelStatus.CREATED, files={}, metrics={}, served_model=None)
