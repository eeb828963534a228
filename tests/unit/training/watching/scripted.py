"""A provider that plays a script, and a time that passes only when somebody waits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway_tuning.errors import NotFoundError, ProviderError, ProviderUnavailableError
from gateway_tuning.training.job import Checkpoint, JobStatus, ProviderJob, TrainingFiles
from gateway_tuning.training.provider import Capabilities, KnownJob
from gateway_tuning.training.watching.asking import Line
from gateway_tuning.training.watching.carrying import Carrier
from gateway_tuning.training.watching.circuit import Circuit
from gateway_tuning.training.watching.pace import Time
from tests.conftest import NOW

ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


def unavailable(retry_after_s=None):
    error = ProviderUnavailableError("no answer")
    error.retry_after_s = retry_after_s
    return error


def running(progress=None, losses=(), message="training", served=True):
    checkpoints = tuple(
        Checkpoint(step, {"validation_loss": loss}, f"served:{step}" if served else None)
        for step, loss in enumerate(losses, 1)
    )
    return ProviderJob("?", JobStatus.RUNNING, progress, message, checkpoints=checkpoints)


def ended(status=JobStatus.SUCCEEDED, message="done"):
    return ProviderJob("?", status, 1.0, message, {"train_loss": 1.0})


class Clock:
    def __init__(self):
        self.seconds, self.waits = 0.0, []

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.seconds += seconds

    @property
    def time(self):
        return Time(self.now, lambda: self.seconds, self.sleep, lambda: 0.5)


@dataclass
class Scripted:
    """Each poll plays the next entry, an answer or an error; the last one goes on for ever.

    `on_submit` are errors of the first submissions: `before` nothing was done, `after` the job exists all the same.
    """

    script: list
    on_submit: list = field(default_factory=list)
    is_local: bool = False
    obeys: bool = True
    created: dict = field(default_factory=dict)
    cancelled: list = field(default_factory=list)
    submissions: int = 0
    polls: int = 0
    refusals: int = 0  # that were heard, and must not be asked for again
    on_poll: Callable[[], None] = lambda: None

    @property
    def capabilities(self):
        return Capabilities({"supervised": "chat"}, None, 1, is_local=self.is_local)

    def submit(self, key, spec, files):
        self.submissions += 1
        when, error = self.on_submit.pop(0) if self.on_submit else (None, None)
        self._heard(error)
        if when == "before":
            raise error
        self.created.setdefault(key, f"job-{len(self.created) + 1}")
        if when == "after":
            raise error
        return ProviderJob(self.created[key], JobStatus.QUEUED, message="accepted")

    def poll(self, job_id):
        self.polls += 1
        self.on_poll()
        if self.is_local and job_id in self.created:
            job_id = self.created[job_id]
        if job_id not in self.created.values():
            raise NotFoundError(f"no job {job_id}")
        told = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self._heard(told)
        if isinstance(told, Exception):
            raise told
        if self.cancelled and self.obeys and told.status not in ENDED:
            told = ProviderJob(
                job_id, JobStatus.CANCELLED, message="cancelled there", checkpoints=told.checkpoints
            )
        return ProviderJob(job_id, told.status, told.progress, told.message, told.metrics, told.checkpoints)

    def _heard(self, told):
        self.refusals += isinstance(told, ProviderError) and not isinstance(told, ProviderUnavailableError)

    def cancel(self, job_id):
        self.cancelled.append(job_id)

    def collect(self, job_id):
        raise ProviderError("not needed here")

    def discard(self, job_id):
        del job_id


class Listing(Scripted):
    """It lists its jobs as well."""

    def known_jobs(self):
        return [KnownJob(key, self.poll(id_)) for key, id_ in self.created.items()]


def carrier_of(provider, jobs, clock, files, told=None):
    heard = [] if told is None else told
    return Carrier(
        jobs=jobs,
        provider=provider,
        line=Line("far", Circuit(), clock.time),
        files=lambda: TrainingFiles(files),
        require_live=lambda: None,
        tell=lambda job, seen, verdict: heard.append((job, seen, verdict)),
    )
