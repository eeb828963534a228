"""Carry a tuning job to its end: find or create it at its provider, look at it, stop it when it must be stopped.

Killed anywhere and begun again it comes to the same end: each effect at the provider is found by the job's key or
changes nothing a second time, and each record is written under the job's lease.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

import sqlalchemy as sa

from gateway_tuning.errors import (
    ConflictError,
    ErasedError,
    NotFoundError,
    ProviderError,
    ProviderUnavailableError,
)
from gateway_tuning.storage.leases import Lease
from gateway_tuning.training.job import JobStatus, ProviderJob, TrainingFiles
from gateway_tuning.training.jobs import JobStore, TuningJob
from gateway_tuning.training.provider import Provider
from gateway_tuning.training.watching.asking import Line
from gateway_tuning.training.watching.finding import can_be_looked_for, find
from gateway_tuning.training.watching.holding import hold
from gateway_tuning.training.watching.limits import Verdict, assess
from gateway_tuning.training.watching.pace import BESIDE_US, FAR_AWAY, Pace, Time

logger = logging.getLogger("gateway_tuning.training")

MAX_DEATHS = 5  # of a local job's worker
LOOKS_IN_VAIN = 3  # a provider may not show at once what it has accepted
STOP_PATIENCE = timedelta(hours=1)

Tell = Callable[[TuningJob, ProviderJob, Verdict], None]
"""Hears of every look. The verdict has `stale_for` the first time that the job stands still, and not again."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """What one job needs to be carried.

    `files` makes its training files when they are needed. `require_live` is asked after a submission and raises
    ErasedError when the files must not stay at the provider.
    """

    jobs: JobStore
    provider: Provider
    line: Line
    files: Callable[[], TrainingFiles]
    require_live: Callable[[], None]
    tell: Tell

    @property
    def time(self) -> Time:
        return self.line.time

    @property
    def pace(self) -> Pace:
        return BESIDE_US if self.provider.capabilities.is_local else FAR_AWAY

    def rest(self, n: int) -> None:
        self.time.sleep(self.pace.wait(n, self.time.draw()))


def carry_alone(engine: sa.Engine, carrier: Carrier, key: str, *, run_id: str | None = None) -> TuningJob:
    """`carry` under the job's lease. Who finds it taken waits for the holder's end, or for the job's.

    Raises:
        ConflictError: somebody else has held it for longer than a job may take; and what `carry` raises.
    """
    began, waits = carrier.time.now(), 0
    while not (job := carrier.jobs.get(key)).status.is_terminal:
        with ExitStack() as stack:
            try:
                lease = stack.enter_context(hold(engine, job, clock=carrier.time.now))
            except ConflictError as held:
                if carrier.time.now() - began > longest(job):
                    raise
                if waits == 0:
                    logger.info("waiting: %s", held)
            else:
                if run_id is not None:
                    carrier.jobs.belongs_to(key, run_id, lease=lease)
                return carry(carrier, key, lease)
        carrier.rest(waits)
        waits += 1
    return job


def longest(job: TuningJob) -> timedelta:
    """From an intent to its end, waits for the provider's answers aside."""
    return timedelta(hours=job.limits.max_queue_hours + job.limits.max_training_hours) + STOP_PATIENCE


def carry(carrier: Carrier, key: str, lease: Lease) -> TuningJob:
    """To the job's end, which is returned whatever it was; the waits are bounded by its limits.

    Raises:
        ProviderUnavailableError: no answer for so long that a later run must go on.
        ProviderError: the provider was asked to stop the job and does not.
        ConflictError: the lease was lost, or the provider has another job under this key.
        ErasedError: somebody was erased from the dataset meanwhile.
    """
    job = carrier.jobs.get(key)
    if not job.status.is_terminal and job.provider_job_id is None:
        job = _begin(carrier, job, lease)
    course = _Course()
    while not job.status.is_terminal:
        if course.looks:
            carrier.rest(course.quiet)
        course.looks += 1
        seen = _look(carrier, job)
        course.in_vain = 0 if seen is not None else course.in_vain + 1
        if seen is None and course.in_vain < LOOKS_IN_VAIN:
            if carrier.provider.capabilities.is_local:  # begun on another machine, and nobody is paid twice
                job = _begin(carrier, job, lease)
            continue
        before, seen = job, seen or vanished(job)
        job = carrier.jobs.record(key, seen, now=carrier.time.now(), lease=lease)
        course.quiet = 0 if job.moved_at != before.moved_at else course.quiet + 1
        job = judge(carrier.jobs, job, seen, tell=carrier.tell, time=carrier.time, lease=lease)
        if not job.status.is_terminal:
            job = _follow(carrier, job, course, lease, died=_died(carrier, before, job))
    return job


@dataclass(slots=True)
class _Course:
    """Counts of one `carry`: looks, those in vain and those without news in a row, and what followed."""

    looks: int = 0
    in_vain: int = 0
    quiet: int = 0
    queued: int = 0
    deaths: int = 0
    stopping: int = 0


def _follow(carrier: Carrier, job: TuningJob, course: _Course, lease: Lease, *, died: bool) -> TuningJob:
    """What a look asks for: to stop the job, or to wake up a local one."""
    course.deaths += died
    if job.stop_requested_at is not None:
        course.stopping += 1
        _stop(carrier, job, ask=_is_power_of_two(course.stopping))
        return job
    if not carrier.provider.capabilities.is_local or job.status is not JobStatus.QUEUED:
        course.queued = 0
        return job
    if course.deaths > MAX_DEATHS:
        reason = f"its worker ended {course.deaths} times before the job did; see the worker's log"
        return carrier.jobs.request_stop(job.key, reason, now=carrier.time.now(), lease=lease)
    course.queued += 1
    # Whether its worker is dead or has not begun, a submission sees to it.
    return _submit(carrier, job, lease) if _is_power_of_two(course.queued) else job


def _died(carrier: Carrier, before: TuningJob, job: TuningJob) -> bool:
    back = before.status is JobStatus.RUNNING and job.status is JobStatus.QUEUED
    return back and carrier.provider.capabilities.is_local


def judge(
    jobs: JobStore, job: TuningJob, seen: ProviderJob, *, tell: Tell, time: Time, lease: Lease
) -> TuningJob:
    """Hold a look against the job's limits, write down what follows, and tell."""
    if job.status.is_terminal:
        tell(job, seen, Verdict())
        return job
    verdict = assess(job.limits, job.sight(seen), now=time.now())
    if verdict.stop is not None and job.stop_requested_at is None:
        stop = verdict.stop
        job = jobs.request_stop(job.key, stop.reason, kept=stop.kept, now=time.now(), lease=lease)
    if verdict.stale_for is not None:
        is_new = job.stale_since is None and jobs.mark_stale(job.key, now=time.now(), lease=lease)
        verdict = verdict if is_new else replace(verdict, stale_for=None)
    tell(job, seen, verdict)
    return job


def vanished(job: TuningJob) -> ProviderJob:
    name = job.spec.provider
    reason = f"{name} no longer knows the job; ask {name} what became of it, and train with another seed"
    return ProviderJob(job.provider_job_id or job.key, JobStatus.FAILED, message=reason)


def _begin(carrier: Carrier, job: TuningJob, lease: Lease) -> TuningJob:
    """The provider may have the job all the same: a process died before it could write so down."""
    if job.stop_requested_at is not None:
        found = find(carrier.provider, carrier.line, job.key)
        if found is not None:
            return carrier.jobs.record(job.key, found, now=carrier.time.now(), lease=lease)
        if can_be_looked_for(carrier.provider):
            return carrier.jobs.drop(job.key, now=carrier.time.now(), lease=lease)
        # It cannot be looked for: what submit finds or creates is stopped at the first look.
    return _submit(carrier, job, lease)


def _submit(carrier: Carrier, job: TuningJob, lease: Lease) -> TuningJob:
    files = carrier.files()
    try:
        seen = carrier.line.ask(lambda: carrier.provider.submit(job.key, job.spec, files))
    except ProviderUnavailableError:
        raise
    except ProviderError as refusal:
        return carrier.jobs.refuse(job.key, str(refusal), now=carrier.time.now(), lease=lease)
    recorded = carrier.jobs.record(job.key, seen, now=carrier.time.now(), lease=lease)
    try:
        carrier.require_live()
    except ErasedError:  # somebody was erased after the files were read: they must not stay at the provider
        carrier.line.ask(lambda: carrier.provider.cancel(seen.id))
        carrier.line.ask(lambda: carrier.provider.discard(seen.id))
        raise
    return recorded


def _look(carrier: Carrier, job: TuningJob) -> ProviderJob | None:
    """None: not found."""
    job_id = job.provider_job_id or job.key
    try:
        return carrier.line.ask(lambda: carrier.provider.poll(job_id))
    except NotFoundError:
        return None


def _stop(carrier: Carrier, job: TuningJob, *, ask: bool) -> None:
    asked_at = job.stop_requested_at or carrier.time.now()
    if carrier.time.now() - asked_at > STOP_PATIENCE:
        raise ProviderError(
            f"{job.spec.provider} was asked at {asked_at:%Y-%m-%d %H:%M} UTC to stop job {job.provider_job_id} and "
            f"still says {job.status}; stop it there by hand. reconcile-jobs goes on asking"
        )
    if ask:
        cancel(carrier.provider, carrier.line, job)


def cancel(provider: Provider, line: Line, job: TuningJob) -> None:
    """Ask the provider to stop a job that it has. What comes of it the next look tells."""
    job_id = job.provider_job_id or job.key
    try:
        line.ask(lambda: provider.cancel(job_id))
    except NotFoundError:
        logger.warning("%s does not know job %s, which it was to stop", job.spec.provider, job_id)
    except ProviderUnavailableError:
        raise
    except ProviderError as refusal:
        logger.warning("%s does not stop job %s: %s", job.spec.provider, job_id, refusal)


def _is_power_of_two(n: int) -> bool:
    """Of a count from 1: at once, and then ever more rarely."""
    return n & (n - 1) == 0
