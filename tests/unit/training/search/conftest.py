"""A search on a real store, whose trials are trained by a provider that a test writes down in a line."""

import itertools
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from gateway_tuning.cycles.plan import TrainingPlan
from gateway_tuning.storage import leases
from gateway_tuning.training.job import Checkpoint, JobStatus, ProviderJob
from gateway_tuning.training.jobs import JobStore, job_key
from gateway_tuning.training.search.budget import Price
from gateway_tuning.training.search.conducting import Desk, conduct
from gateway_tuning.training.search.plan import SearchPlan
from gateway_tuning.training.search.settling import Ended, told_value
from gateway_tuning.training.search.store import SearchStore
from gateway_tuning.training.search.trial import Role, Trial, TrialState
from gateway_tuning.training.watching.pace import Time
from tests.conftest import NOW

RATE = {"type": "continuous", "name": "rate", "min": 1e-5, "max": 1e-1, "log_scale": True}


def make_plan(*parameters, **fields):
    given = {"space": {"parameters": parameters or (RATE,)}, "sampler": "random"}
    training = {"provider": "scripted", "base_model": "far-1"} | fields.pop("training", {})
    return SearchPlan.model_validate(given | {"training": TrainingPlan(**training)} | fields)


def make_trial(number, value=None, *, state=TrialState.COMPLETE, role=None, **fields):
    return Trial(
        search_id="s",
        number=number,
        role=role or (Role.DEFAULT if number == 0 else Role.SEARCH),
        hyperparameters=fields.pop("hyperparameters", {} if number == 0 else {"rate": 0.001 * number}),
        seed=fields.pop("seed", 0),
        job_key=f"key-{number}",
        state=state,
        created_at=NOW,
        value=value,
        **fields,
    )


@dataclass
class Scripted:
    """A crew and its provider in one: each job tells a loss a tick, and has succeeded when it has told all.

    `losses` gives those of a job's spec. `fails` is asked before a job begins and raises what is to be met.
    """

    engine: object
    losses: object = lambda spec: [spec.hyperparameters.get("rate", 0.05)]
    fails: object = lambda spec: None
    bills: dict = field(default_factory=dict)
    prices: object = lambda spec: Price(Decimal(1))
    known: dict = field(default_factory=dict)  # which trial carries which job
    creates: list = field(default_factory=list)
    stops: list = field(default_factory=list)
    most_at_once: int = 0
    hours: float = 0.0
    tick_hours: float = 0.0

    @property
    def jobs(self):
        return JobStore(self.engine)

    def desk(self, **defaults):
        clock = Time(lambda: NOW, lambda: self.hours * 3600, lambda _: None, lambda: 0.5)
        return Desk(
            store=SearchStore(self.engine),
            engine=self.engine,
            crew=self,
            job=lambda key: next(iter(self.jobs.named(key)), None),
            stop=self.stop,
            price=self.prices,
            spent=self.bills.get,
            time=clock,
            defaults=defaults,
        )

    def open(self, plan):
        return SearchStore(self.engine).open("ds-1", plan, tenant="default", now=NOW)

    def search(self, plan, **defaults):
        """To its end: the search and its trials."""
        search = conduct(self.desk(**defaults), self.open(plan).id)
        return search, SearchStore(self.engine).trials(search.id)

    def start(self, search, trial):
        spec = search.spec(trial.hyperparameters, trial.seed)
        assert job_key(spec) == trial.job_key
        self.known[trial.number] = (spec, search.plan.objective)
        self.most_at_once = max(self.most_at_once, len(self.known))

    def ended(self, within_s):
        self.hours += self.tick_hours
        found = [self._tick(number, *known) for number, known in list(self.known.items())]
        ended = [one for one in found if one is not None]
        for one in ended:
            del self.known[one.number]
        return ended

    def stop(self, key, reason):
        self.stops.append(key)
        self.jobs.request_stop(key, reason, now=NOW)

    def _tick(self, number, spec, objective):
        try:
            self.fails(spec)
        except Exception as error:  # noqa: BLE001 - what a crew meets it hands on
            return Ended(number, error=error)
        job = self.jobs.intend(spec, tenant="default", now=NOW)
        if job.provider_job_id is None and job.key not in self.creates:  # else it is found by its key
            self.creates.append(job.key)
        if not job.status.is_terminal:
            job = self._look(job, spec)
        if not job.status.is_terminal:
            return None
        return Ended(number, told_value(objective, job) if job.status is JobStatus.SUCCEEDED else None)

    def _look(self, job, spec):
        script = self.losses(spec)
        if isinstance(script, str):
            return self._record(job, JobStatus.FAILED, script)
        if job.stop_requested_at is not None:
            return self._record(job, JobStatus.CANCELLED, job.stop_reason)
        told = len(job.checkpoints) + 1
        checkpoints = tuple(
            Checkpoint(step, {"validation_loss": loss}) for step, loss in enumerate(script[:told], 1)
        )
        status = JobStatus.SUCCEEDED if told >= len(script) else JobStatus.RUNNING
        return self._record(job, status, "", checkpoints)

    def _record(self, job, status, message, checkpoints=()):
        seen = ProviderJob(f"p-{job.key[:8]}", status, None, message, {}, checkpoints or job.checkpoints)
        return self.jobs.record(job.key, seen, now=NOW)


@pytest.fixture
def scripted(engine):
    return Scripted(engine)


@pytest.fixture
def lease(engine):
    counter = itertools.count()
    return lambda search: leases.acquire(
        engine, search.lease_name, owner=f"{leases.this_process()}|{next(counter)}", now=NOW, seconds=60
    )
