"""Tuning jobs as intents: what is wanted stands in the store before any provider hears of it."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa

from gateway_tuning.datasets.retired import require_live
from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import tuning_jobs
from gateway_tuning.training.job import JobStatus, ProviderJob, TuningSpec


@dataclass(frozen=True, slots=True)
class TuningJob:
    """`provider_job_id` is None while it is unknown whether the provider has the job."""

    key: str
    tenant: str
    spec: TuningSpec
    status: JobStatus
    provider_job_id: str | None
    message: str
    metrics: dict[str, float]
    created_at: datetime
    updated_at: datetime


def job_key(spec: TuningSpec) -> str:
    """The idempotency key: equal specs are one job."""
    return sha256(json.dumps(asdict(spec), sort_keys=True).encode()).hexdigest()


class JobStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def intend(self, spec: TuningSpec, *, tenant: str, now: datetime) -> TuningJob:
        """The job of this spec, written down first if it is new. Raises ErasedError when its dataset is retired."""
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
        return self.get(key)

    def record(self, key: str, seen: ProviderJob, *, now: datetime) -> None:
        """Write what the provider said last. An ended job stays as it ended."""
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(tuning_jobs)
                .where(
                    tuning_jobs.c.key == key,
                    tuning_jobs.c.status.in_([JobStatus.QUEUED.value, JobStatus.RUNNING.value]),
                )
                .values(
                    status=seen.status.value,
                    provider_job_id=seen.id,
                    message=seen.message,
                    metrics=seen.metrics,
                    updated_at=now,
                )
            )

    def get(self, key: str) -> TuningJob:
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(tuning_jobs).where(tuning_jobs.c.key == key)).one_or_none()
        if row is None:
            raise NotFoundError(f"No tuning job {key}")
        return _job(row)

    def all(self) -> list[TuningJob]:
        query = sa.select(tuning_jobs).order_by(tuning_jobs.c.created_at, tuning_jobs.c.key)
        with reading(self._engine) as connection:
            return [_job(row) for row in connection.execute(query)]


def _job(row: "sa.Row[tuple[object, ...]]") -> TuningJob:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    fields.pop("provider")
    fields["spec"] = TuningSpec(**fields["spec"])
    fields["status"] = JobStatus(fields["status"])
    return TuningJob(**fields)
