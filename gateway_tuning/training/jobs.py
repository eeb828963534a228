"""Tuning jobs as intents: what is wanted stands in the store before any provider hears of it."""

import json
import math
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from gateway_tuning.datasets.retired import require_live
from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage import leases
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import tuning_jobs
from gateway_tuning.training.job import Checkpoint, JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.watching.limits import Limits, Sight, merged

_UNFINISHED = (JobStatus.QUEUED.value, JobStatus.RUNNING.value)


@dataclass(frozen=True, slots=True)
class TuningJob:
    """`provider_job_id` is None while it is unknown whether the provider has the job.

    `started_at` is when it was first seen at work, `moved_at` when the provider last told anything new. `kept` is the
    checkpoint that stands for the result of a job that was stopped before its end.
    """

    key: str
    tenant: str
    spec: TuningSpec
    status: JobStatus
    provider_job_id: str | None
    message: str
    metrics: dict[str, float]
    created_at: datetime
    updated_at: datetime
    limits: Limits = field(default_factory=Limits)
    run_id: str | None = None
    progress: float | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    started_at: datetime | None = None
    moved_at: datetime | None = None
    stale_since: datetime | None = None
    stop_requested_at: datetime | None = None
    stop_reason: str | None = None
    kept: Checkpoint | None = None

    @property
    def lease_name(self) -> str:
        return f"tuning job {self.key}"

    def sight(self, seen: ProviderJob) -> Sight:
        """For `watching.limits.assess`, after `seen` was recorded."""
        return Sight(
            status=self.status,
            created_at=self.created_at,
            started_at=self.started_at,
            moved_at=self.moved_at or self.created_at,
            checkpoints=self.checkpoints,
            offered=seen.checkpoints,
        )


def job_key(spec: TuningSpec) -> str:
    """The idempotency key: equal specs are one job."""
    return sha256(json.dumps(asdict(spec), sort_keys=True).encode()).hexdigest()


class JobStore:
    """Writes that name a lease are refused with ConflictError once somebody else has taken it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def intend(
        self, spec: TuningSpec, *, tenant: str, now: datetime, limits: Limits | None = None
    ) -> TuningJob:
        """The job of this spec, written down first if it is new.

        An unfinished one takes the limits that are given. One that ended before its provider had it begins anew.

        Raises:
            ErasedError: its dataset is retired.
        """
        key = job_key(spec)
        with self._engine.begin() as connection:
            require_live(connection, tenant, spec.dataset_id)
            with first_insert_wins(connection):
                connection.execute(
                    sa.insert(tuning_jobs).values(
                        key=key,
                        tenant=tenant,
                        provider=spec.provider,
                        spec=asdict(spec),
                        status=JobStatus.QUEUED.value,
                        created_at=now,
                        updated_at=now,
                    )
                )
            job = _locked(connection, key)
            if job.status.is_terminal and job.provider_job_id is None:
                anew = dict.fromkeys(("stop_requested_at", "stop_reason", "kept", "stale_since"))
                queued = {
                    "status": JobStatus.QUEUED.value,
                    "message": "",
                    "created_at": now,
                    "updated_at": now,
                }
                _write(connection, key, **anew, **queued)
            is_over = job.status.is_terminal and job.provider_job_id is not None
            if limits is not None and not is_over:
                _write(connection, key, limits=asdict(limits))
        return self.get(key)

    def record(
        self, key: str, seen: ProviderJob, *, now: datetime, lease: leases.Lease | None = None
    ) -> TuningJob:
        """Write what the provider said last, and return the job as it stands. An ended job stays as it ended."""
        with self._engine.begin() as connection:
            job = _held(connection, key, lease)
            if not job.status.is_terminal:
                _write(connection, key, **_learned(job, seen, now))
            return _one(connection, key)

    def refuse(self, key: str, reason: str, *, now: datetime, lease: leases.Lease | None = None) -> TuningJob:
        """The provider will not have this job. It has failed, until it is declared again."""
        return self._end(key, JobStatus.FAILED, reason, now, lease)

    def drop(self, key: str, *, now: datetime, lease: leases.Lease | None = None) -> TuningJob:
        """A job that its provider does not have and was asked to stop: it ends as cancelled."""
        job = self.get(key)
        return self._end(key, JobStatus.CANCELLED, job.stop_reason or "cancelled", now, lease)

    def request_stop(
        self,
        key: str,
        reason: str,
        *,
        now: datetime,
        kept: Checkpoint | None = None,
        lease: leases.Lease | None = None,
    ) -> TuningJob:
        """Write down that the job is to end, before its provider is asked.

        Without a lease it is a person's word: it takes the place of what a limit asked for, and nothing is kept.
        """
        with self._engine.begin() as connection:
            job = _held(connection, key, lease)
            if not job.status.is_terminal and (lease is None or job.stop_requested_at is None):
                _write(
                    connection,
                    key,
                    stop_requested_at=job.stop_requested_at or now,
                    stop_reason=reason,
                    kept=None if kept is None else _stored(kept),
                    updated_at=now,
                )
        return self.get(key)

    def mark_stale(self, key: str, *, now: datetime, lease: leases.Lease) -> bool:
        """True for the first who marks it; what moves again loses the mark."""
        with self._engine.begin() as connection:
            job = _held(connection, key, lease)
            if job.stale_since is not None or job.status.is_terminal:
                return False
            _write(connection, key, stale_since=now, updated_at=now)
        return True

    def belongs_to(self, key: str, run_id: str, *, lease: leases.Lease) -> None:
        """The orchestrator's run that waits for the job."""
        with self._engine.begin() as connection:
            _held(connection, key, lease)
            _write(connection, key, run_id=run_id)

    def get(self, key: str) -> TuningJob:
        with reading(self._engine) as connection:
            return _one(connection, key)

    def page(self, tenant: str, *, limit: int, before: tuple[datetime, str] | None = None) -> list[TuningJob]:
        """Newest first; `before` is time and key of the last one of the page before."""
        rows = newest_first(self._engine, tuning_jobs, tenant=tenant, limit=limit, before=before, key="key")
        return [_job(row) for row in rows]

    def owned(self, key: str, *, tenant: str) -> TuningJob:
        """Raises NotFoundError; a job of another tenant is not found either."""
        return _job(owned_row(self._engine, tuning_jobs, key, tenant=tenant, what="tuning job", key="key"))

    def all(self) -> list[TuningJob]:
        return self._select()

    def unfinished(self) -> list[TuningJob]:
        return self._select(tuning_jobs.c.status.in_(_UNFINISHED))

    def of_run(self, run_id: str) -> list[TuningJob]:
        """Unfinished ones that a run of the orchestrator waits for."""
        return self._select(tuning_jobs.c.run_id == run_id, tuning_jobs.c.status.in_(_UNFINISHED))

    def named(self, beginning: str) -> list[TuningJob]:
        """Jobs whose key begins so."""
        return self._select(tuning_jobs.c.key.startswith(beginning, autoescape=True))

    def _select(self, *conditions: "sa.ColumnElement[bool]") -> list[TuningJob]:
        query = sa.select(tuning_jobs).where(*conditions)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(tuning_jobs.c.created_at, tuning_jobs.c.key))
            return [_job(row) for row in rows]

    def _end(
        self, key: str, status: JobStatus, reason: str, now: datetime, lease: leases.Lease | None
    ) -> TuningJob:
        with self._engine.begin() as connection:
            if not _held(connection, key, lease).status.is_terminal:
                _write(connection, key, status=status.value, message=reason, updated_at=now)
        return self.get(key)


def _learned(job: TuningJob, seen: ProviderJob, now: datetime) -> dict[str, Any]:
    """What a look changes. A job that was stopped for its checkpoint has succeeded once the provider has stopped."""
    known = merged(job.checkpoints, seen.checkpoints)
    was = (job.status, job.progress, job.message, _steps(job.checkpoints))
    moved = was != (seen.status, seen.progress, seen.message, _steps(known))
    runs = seen.status is not JobStatus.QUEUED or bool(seen.progress)
    ended = _ended(job, seen)
    return {
        "status": ended.status.value,
        "provider_job_id": seen.id,
        "message": ended.message,
        "metrics": {name: value for name, value in ended.metrics.items() if math.isfinite(value)},
        "progress": seen.progress,
        "checkpoints": [_stored(checkpoint) for checkpoint in known] or None,
        "started_at": job.started_at or (now if runs else None),
        "moved_at": now if moved or job.moved_at is None else job.moved_at,
        "stale_since": None if moved else job.stale_since,
        "kept": None if seen.status is JobStatus.SUCCEEDED or job.kept is None else _stored(job.kept),
        "updated_at": now,
    }


def _ended(job: TuningJob, seen: ProviderJob) -> ProviderJob:
    if seen.status is not JobStatus.CANCELLED or job.stop_reason is None:
        return seen
    if job.kept is None:
        return replace(seen, message=job.stop_reason)
    message = f"{job.stop_reason}; the checkpoint of step {job.kept.step} is kept"
    metrics = {**seen.metrics, **job.kept.metrics}
    return replace(seen, status=JobStatus.SUCCEEDED, message=message, metrics=metrics)


def _held(connection: sa.Connection, key: str, lease: leases.Lease | None) -> TuningJob:
    """Raises ConflictError when the lease was lost."""
    if lease is not None:
        leases.check(connection, lease)
    return _locked(connection, key)


def _locked(connection: sa.Connection, key: str) -> TuningJob:
    return _one(connection, key, for_update=True)


def _one(connection: sa.Connection, key: str, *, for_update: bool = False) -> TuningJob:
    query = sa.select(tuning_jobs).where(tuning_jobs.c.key == key)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        raise NotFoundError(f"No tuning job {key}; `gateway-tuning jobs list` shows them")
    return _job(row)


def _write(connection: sa.Connection, key: str, **values: Any) -> None:
    connection.execute(sa.update(tuning_jobs).where(tuning_jobs.c.key == key).values(**values))


def _job(row: "sa.Row[Any]") -> TuningJob:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    fields.pop("provider")
    fields["spec"] = TuningSpec(**fields["spec"])
    fields["status"] = JobStatus(fields["status"])
    fields["limits"] = Limits(**(fields["limits"] or {}))
    fields["checkpoints"] = tuple(map(_checkpoint, fields["checkpoints"] or ()))
    fields["kept"] = None if fields["kept"] is None else _checkpoint(fields["kept"])
    return TuningJob(**fields)


def _stored(checkpoint: Checkpoint) -> dict[str, Any]:
    """A metric that is no number is null: JSON has no word for it, and a diverged loss must not be forgotten."""
    metrics = {name: value if math.isfinite(value) else None for name, value in checkpoint.metrics.items()}
    return asdict(checkpoint) | {"metrics": metrics}


def _checkpoint(stored: dict[str, Any]) -> Checkpoint:
    metrics = {name: math.nan if value is None else value for name, value in stored["metrics"].items()}
    return Checkpoint(stored["step"], metrics, stored["served_model"])


def _steps(checkpoints: tuple[Checkpoint, ...]) -> int | None:
    return checkpoints[-1].step if checkpoints else None
