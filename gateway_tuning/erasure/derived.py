"""What was made of retired datasets: files at providers, evaluations, drift pages, canaries, cycles."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.cycles.cycle import CycleOutcome, CycleStatus
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.drift.store import OLDER_HALF
from gateway_tuning.erasure.places import Places
from gateway_tuning.errors import ConfigurationError, ConflictError, NotFoundError, ProviderError
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.storage import layout
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import (
    canaries,
    cycle_stages,
    cycles,
    drift_reports,
    evaluations,
    model_versions,
)
from gateway_tuning.training.job import JobStatus, ProviderJob
from gateway_tuning.training.jobs import JobStore, TuningJob
from gateway_tuning.training.provider import Provider

WAIT_SECONDS = 120.0  # a local worker ends after the step in hand
_SAMPLES = ("best", "worst", "most_changed")
_RETIRED = "a person in its dataset was erased"


@dataclass(frozen=True, slots=True)
class Left:
    """What could not be done, and why. `is_unknown`: the provider does not know, here, a job that it once had."""

    told: str
    is_unknown: bool = False


def settle(
    places: Places, retired: set[str], now: datetime, *, wait_seconds: float = WAIT_SECONDS
) -> list[Left]:
    """Do all of it, or what is not done yet. Returns what could not be done."""
    left = discard_jobs(places, retired, now, wait_seconds)
    _strip_evaluations(places, retired)
    _remove_drift_pages(places, retired)
    _end_canaries(places, now)
    _abandon_cycles(places, retired, now)
    return left


def jobs_on(places: Places, retired: Iterable[str]) -> list[TuningJob]:
    wanted = set(retired)
    return [job for job in JobStore(places.engine).all() if job.spec.dataset_id in wanted]


def discard_jobs(places: Places, retired: set[str], now: datetime, wait_seconds: float) -> list[Left]:
    deadline = time.monotonic() + wait_seconds
    left = []
    for job in jobs_on(places, retired):
        what = f"files of tuning job {job.key[:12]} at {job.spec.provider}"
        try:
            provider = places.provider(job.spec.provider)
            _discard(places, provider, job, now, deadline)
        except NotFoundError as error:
            remedy = "run this on the machine that trained it, or say that they are gone"
            left.append(Left(f"{what}: {error}; {remedy}", is_unknown=True))
        except (ProviderError, ConflictError, ConfigurationError) as error:
            left.append(Left(f"{what}: {error}"))
    return left


def _discard(places: Places, provider: Provider, job: TuningJob, now: datetime, deadline: float) -> None:
    """Raises ConflictError when the job does not end in time, NotFoundError when the provider had it and has not."""
    job_id = job.provider_job_id or job.key
    with suppress(NotFoundError):  # what is less than a job is discarded all the same
        if not provider.poll(job_id).status.is_terminal:
            provider.cancel(job_id)
    while True:  # its end is told before its worker has gone
        try:
            provider.discard(job_id)
            break
        except NotFoundError:
            if job.provider_job_id is not None:
                raise
            break  # an intent that never reached the provider
        except ConflictError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    try:
        seen = provider.poll(job_id)
    except NotFoundError:
        seen = ProviderJob(job_id, JobStatus.CANCELLED, message=_RETIRED)
    JobStore(places.engine).record(job.key, seen, now=now)


def _strip_evaluations(places: Places, retired: set[str]) -> None:
    """Their objects go with the leftovers; their figures stay."""
    with reading(places.engine) as connection:
        rows = connection.execute(
            sa.select(evaluations.c.id, evaluations.c.dataset_id, evaluations.c.result)
        ).all()
    for row in rows:
        if row.dataset_id in retired and any(row.result.get(name) for name in _SAMPLES):
            stripped = row.result | {name: [] for name in _SAMPLES}
            with places.engine.begin() as connection:
                connection.execute(
                    sa.update(evaluations).where(evaluations.c.id == row.id).values(result=stripped)
                )


def _remove_drift_pages(places: Places, retired: set[str]) -> None:
    """The rows hold figures, and words that at least three users wrote (`drift.texts.words`)."""
    for report_id, ids in drift_reports_on(places.engine):
        if ids & retired:
            for key in places.objects.list_keys(layout.drift_folder(report_id)):
                places.objects.delete(key)


def drift_reports_on(engine: sa.Engine) -> list[tuple[str, set[str]]]:
    """Each report with the datasets it compares."""
    columns = drift_reports.c
    with reading(engine) as connection:
        rows = connection.execute(sa.select(columns.id, columns.dataset_id, columns.reference_id)).all()
    return [(row.id, {row.dataset_id, row.reference_id.removeprefix(OLDER_HALF)}) for row in rows]


def _end_canaries(places: Places, now: datetime) -> None:
    """A look finds that the comparison is void, ends it as invalid and takes its share and alias away."""
    query = (
        sa.select(canaries.c.id)
        .join(model_versions, model_versions.c.id == canaries.c.candidate)
        .where(canaries.c.state == "running", model_versions.c.holds_erased_since.is_not(None))
    )
    with reading(places.engine) as connection:
        running = list(connection.execute(query).scalars())
    for canary_id in running:
        CanaryStore(places.engine).tick(canary_id, now=now)


def _abandon_cycles(places: Places, retired: set[str], now: datetime) -> None:
    for cycle_id, dataset_id in cycles_on(places.engine, unfinished=True):
        if dataset_id in retired:
            reason = f"a person in dataset {dataset_id} was erased; start the cycle again"
            CycleStore(places.engine).finish(cycle_id, CycleOutcome.ABANDONED, (reason,), now=now)


def cycles_on(engine: sa.Engine, *, unfinished: bool = False) -> list[tuple[str, str]]:
    """Cycles with the dataset that each has built."""
    query = (
        sa.select(cycles.c.id, cycle_stages.c.object_id)
        .join(cycle_stages, cycle_stages.c.cycle_id == cycles.c.id)
        .where(cycle_stages.c.stage == "dataset")
        .order_by(cycles.c.id)
    )
    if unfinished:
        query = query.where(cycles.c.status != CycleStatus.FINISHED.value)
    with reading(engine) as connection:
        return list(connection.execute(query).tuples().all())
