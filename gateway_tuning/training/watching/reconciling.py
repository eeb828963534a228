"""What no living run carries: jobs are looked at, adopted and ended, and what should not be at a provider is named."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Self

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError, GatewayTuningError, NotFoundError
from gateway_tuning.settings import Settings
from gateway_tuning.storage.leases import Lease
from gateway_tuning.training import catalog
from gateway_tuning.training.job import JobStatus, ProviderJob
from gateway_tuning.training.jobs import JobStore, TuningJob
from gateway_tuning.training.provider import KnownJob, Provider, ShowsJobs
from gateway_tuning.training.watching.asking import TIME, Line, line_to
from gateway_tuning.training.watching.carrying import Tell, cancel, judge, vanished
from gateway_tuning.training.watching.finding import can_be_looked_for, find, listed, names
from gateway_tuning.training.watching.holding import hold
from gateway_tuning.training.watching.pace import Time

GLANCE_S = 30.0
SHOWN_BY_THEN = timedelta(minutes=10)  # what a provider has accepted for longer it also shows


class Found(StrEnum):
    HELD = "held"  # a living run carries it
    ADOPTED = "adopted"  # its provider had it, and nobody had written that down
    ENDED = "ended"
    UNDER_WAY = "under way"
    NOT_SUBMITTED = "not submitted"  # its next run does that
    NOT_LOOKED_FOR = "not looked for"  # the provider lists no jobs; the next run finds it or creates it
    WAITS_FOR_RUN = "waits for a run"  # a local worker lives no longer than the run that started it
    UNKNOWN = "unknown"  # see the message


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A job as it stands after the look. `message` says what to do where something is."""

    job: TuningJob
    found: Found
    message: str = ""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A job at a provider that no intent accounts for. `stopped`: it was asked to end."""

    provider: str
    job_id: str
    key: str
    told: str
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Reconciler:
    """`provider` gives one by its name, `line` the way to ask it."""

    engine: sa.Engine
    jobs: JobStore
    provider: Callable[[str], Provider]
    line: Callable[[str], Line]
    time: Time
    tell: Tell

    @classmethod
    def of(cls, settings: Settings, engine: sa.Engine, *, tell: Tell) -> Self:
        """For a glance: it comes again, so an outage is not waited out."""
        return cls(
            engine=engine,
            jobs=JobStore(engine),
            provider=lambda name: catalog.provider(name, settings),
            line=lambda name: line_to(name, longest_outage_s=GLANCE_S),
            time=TIME,
            tell=tell,
        )

    def all(self) -> list[Reconciled]:
        return [self.one(job.key) for job in self.jobs.unfinished()]

    def one(self, key: str) -> Reconciled:
        """One look at the job. Nothing is created anywhere; a request to stop it is passed on."""
        job = self.jobs.get(key)
        if job.status.is_terminal:
            return Reconciled(job, Found.ENDED)
        with ExitStack() as stack:
            try:
                lease = stack.enter_context(hold(self.engine, job, clock=self.time.now))
            except ConflictError as held:
                return Reconciled(job, Found.HELD, str(held))
            try:
                return self._look(self.jobs.get(key), lease)
            except GatewayTuningError as error:  # one job's trouble is not the others'
                return Reconciled(self.jobs.get(key), Found.UNKNOWN, str(error))

    def _look(self, job: TuningJob, lease: Lease) -> Reconciled:
        provider, line = self.provider(job.spec.provider), self.line(job.spec.provider)
        seen = self._seen(provider, line, job)
        if seen is None:
            return self._unseen(provider, job, lease)
        adopted = job.provider_job_id is None
        job = self.jobs.record(job.key, seen, now=self.time.now(), lease=lease)
        job = judge(self.jobs, job, seen, tell=self.tell, time=self.time, lease=lease)
        if job.status.is_terminal:
            return Reconciled(job, Found.ENDED, job.message)
        if job.stop_requested_at is not None:
            cancel(provider, line, job)
            seen = self._seen(provider, line, job) or seen
            job = self.jobs.record(job.key, seen, now=self.time.now(), lease=lease)
            return Reconciled(job, Found.ENDED if job.status.is_terminal else Found.UNDER_WAY, job.message)
        if provider.capabilities.is_local and job.status is JobStatus.QUEUED:
            return Reconciled(job, Found.WAITS_FOR_RUN, seen.message)
        return Reconciled(job, Found.ADOPTED if adopted else Found.UNDER_WAY, job.message)

    def _seen(self, provider: Provider, line: Line, job: TuningJob) -> ProviderJob | None:
        job_id = job.provider_job_id
        if job_id is None:
            return find(provider, line, job.key)
        try:
            return line.ask(lambda: provider.poll(job_id))
        except NotFoundError:
            young = self.time.now() - job.created_at < SHOWN_BY_THEN
            return None if young or provider.capabilities.is_local else vanished(job)

    def _unseen(self, provider: Provider, job: TuningJob, lease: Lease) -> Reconciled:
        if job.provider_job_id is not None:
            told = (
                "not found; a local job is seen on the machine that trains it alone"
                if provider.capabilities.is_local
                else f"{job.spec.provider} does not show it yet; it is looked for again"
            )
            return Reconciled(job, Found.UNKNOWN, told)
        if not can_be_looked_for(provider):
            told = f"{job.spec.provider} lists no jobs; run the training again, which finds the job or creates it"
            return Reconciled(job, Found.NOT_LOOKED_FOR, told)
        if job.stop_requested_at is not None:
            job = self.jobs.drop(job.key, now=self.time.now(), lease=lease)
            return Reconciled(job, Found.ENDED, job.message)
        return Reconciled(job, Found.NOT_SUBMITTED, "run the training again to submit it")

    def orphans(self, providers: Iterable[str]) -> list[Orphan]:
        """Jobs that carry a key of ours and should not be: of no intent, doubles, and those of a cancelled intent.

        The last two are stopped. One that no intent asked for may be another installation's: it is named alone.
        """
        known = self.jobs.all()
        found: list[Orphan] = []
        for name in providers:
            provider = self.provider(name)
            if isinstance(provider, ShowsJobs):
                mine = [job for job in known if job.spec.provider == name]
                shown = listed(provider, self.line(name))
                found += [orphan for one in shown if (orphan := self._orphan(provider, name, one, mine))]
        return found

    def _orphan(self, provider: Provider, name: str, shown: KnownJob, mine: list[TuningJob]) -> Orphan | None:
        if shown.seen.status.is_terminal:
            return None
        orphan = Orphan(name, shown.seen.id, shown.key, "no intent has this key; another installation's?")
        job = next((job for job in mine if names(shown, job.key)), None)
        if job is None:
            return orphan
        is_double = job.provider_job_id not in {None, shown.seen.id}
        if not is_double and job.status is not JobStatus.CANCELLED:
            return None
        told = f"a double of {job.provider_job_id}" if is_double else "its intent is cancelled"
        cancel(provider, self.line(name), replace(job, provider_job_id=shown.seen.id))
        return replace(orphan, told=told, stopped=True)
