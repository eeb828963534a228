"""Carry a search to its end: ask for trials, prune them, keep the budget. Killed anywhere, the next run goes on."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Protocol

import sqlalchemy as sa

from gateway_tuning.errors import GatewayTuningError, ProviderError
from gateway_tuning.storage import leases
from gateway_tuning.training.job import JobStatus, TuningSpec
from gateway_tuning.training.jobs import TuningJob, job_key
from gateway_tuning.training.search import budget, halving
from gateway_tuning.training.search.budget import ALL_TRIED, Ending, Price
from gateway_tuning.training.search.outcome import best_of, result_of
from gateway_tuning.training.search.sampler import propose
from gateway_tuning.training.search.settling import Ended, settle
from gateway_tuning.training.search.store import SearchStore
from gateway_tuning.training.search.trial import Role, Search, Trial, TrialState, reporting
from gateway_tuning.training.watching.pace import Time

logger = logging.getLogger("gateway_tuning.search")

LEASE_SECONDS = 120.0
RENEW_SECONDS = 20.0
TICK_SECONDS = 1.0


class Crew(Protocol):
    """Who trains. A trial may be started again after a crash: its job is found by its key."""

    def start(self, search: Search, trial: Trial) -> None:
        """Begin to train it, and to measure it when its job has succeeded."""

    def ended(self, within_s: float) -> Sequence[Ended]:
        """Those that have ended since this was last asked; waits at most so long for the first."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a search is conducted with. `defaults` are the provider's, of hyperparameters that a trial does not say.

    `job` gives None for a key that nobody has declared, `spent` while the bill is not known. `stop` has a job stopped.
    """

    store: SearchStore
    engine: sa.Engine
    crew: Crew
    job: Callable[[str], TuningJob | None]
    stop: Callable[[str, str], None]
    price: Callable[[TuningSpec], Price]
    spent: Callable[[str], Decimal | None]
    time: Time
    defaults: Mapping[str, Any]


def conduct(desk: Desk, search_id: str) -> Search:
    """To the end of the search, or to what a later run goes on after.

    Raises:
        ConflictError: another process works on it.
        GatewayTuningError: what a trial met that is no fault of its hyperparameters, once those beside it have ended.
    """
    search = desk.store.get(search_id)
    if search.finished_at is not None:
        return search
    with _held(desk, search) as lease:
        began = desk.time.monotonic()
        course = _Course(desk, search, lease, began=began, renewed=began)
        for trial in course.trials():
            if trial.state is TrialState.RUNNING:
                desk.crew.start(search, trial)
        while not course.is_over():
            course.settle_ended(TICK_SECONDS)
        return course.finish()


@contextmanager
def _held(desk: Desk, search: Search) -> Iterator[leases.Lease]:
    owner, now = leases.this_process(), desk.time.now
    lease = leases.acquire(desk.engine, search.lease_name, owner=owner, now=now(), seconds=LEASE_SECONDS)
    try:
        yield lease
    finally:
        leases.release(desk.engine, lease, now=now())


@dataclass(slots=True)
class _Course:
    """One run's work. `ending` is why nothing more is searched; `broken` stops this run and not the search.

    `left` are the numbers of trials for a later run to go on with, `asked` those whose jobs were asked to stop.
    """

    desk: Desk
    search: Search
    lease: leases.Lease
    began: float
    renewed: float
    ending: Ending | None = None
    broken: Exception | None = None
    left: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)

    @property
    def active_s(self) -> float:
        return self.search.active_s + self.desk.time.monotonic() - self.began

    def trials(self) -> list[Trial]:
        return self.desk.store.trials(self.search.id)

    def is_over(self) -> bool:
        """Do what there is to do now. True when nothing is left to wait for.

        Raises:
            GatewayTuningError: what broke this run, when nothing runs any more.
        """
        self._renew()
        running = self._running()
        for trial in running:
            self._watch(trial)
        while self.broken is None and len(running) < self.search.plan.parallel and self._start_next():
            running = self._running()
        if running:
            return False
        if self.broken is not None:
            self._save_time()
            raise self.broken
        return True

    def settle_ended(self, within_s: float) -> None:
        for ended in self.desk.crew.ended(within_s):
            trial = self.trials()[ended.number]
            job = self.desk.job(trial.job_key)
            objective, now = self.search.plan.objective, self.desk.time.now()
            if job is not None and job.status is JobStatus.CANCELLED and trial.stopping is None:
                trial = self._judged(
                    reporting(trial, job.checkpoints)
                )  # pruned in an earlier search, perhaps
            settled = None if job is None else settle(trial, ended, job, objective=objective, now=now)
            if settled is None:
                self.left.add(trial.number)
                lost = ProviderError(f"Trial {trial.number} ended before its job did; resume the search")
                self.broken = self.broken or ended.error or lost
                logger.warning("trial %d is left to a later run: %s", trial.number, ended.error or lost)
                continue
            # What was trained before is paid already.
            bill = None if trial.price == 0 else self.desk.spent(trial.job_key)
            self._write(replace(settled, cost=bill))
            logger.info("trial %d: %s", trial.number, _told(settled))

    def finish(self) -> Search:
        self._save_time()
        trials, why = self.trials(), str(self.ending or ALL_TRIED)
        result = result_of(self.search, trials)
        logger.info("search %s ended by %s. %s", self.search.id, why, result["told"])
        now = self.desk.time.now()
        return self.desk.store.finish(self.search.id, why, result, now=now, lease=self.lease)

    def _running(self) -> list[Trial]:
        return [
            trial
            for trial in self.trials()
            if trial.state is TrialState.RUNNING and trial.number not in self.left
        ]

    def _watch(self, trial: Trial) -> None:
        """Prune it, or end it because the time is over. What it shall end as is written before its job is stopped."""
        job = self.desk.job(trial.job_key)
        if job is None or job.status.is_terminal:
            return
        seen = reporting(trial, job.checkpoints)
        if seen.stopping is None:
            seen = self._judged(seen)
        if seen.stopping is None and budget.is_late(self.search.plan.budget, self.active_s):
            seen = replace(seen, stopping=TrialState.STOPPED, message="the time of the search was over")
        if seen != trial:
            self._write(seen)
        if seen.stopping is not None and seen.number not in self.asked:
            self.asked.add(seen.number)
            self._stop(seen)

    def _judged(self, trial: Trial) -> Trial:
        """With the rungs that are behind it, and to be pruned where others were better."""
        if not trial.role.searches:
            return trial
        rivals = [one for one in self.trials() if one.number != trial.number and one.role.searches]
        judged = halving.judge(self.search.plan.pruning, trial, rivals)
        if judged.stop_at is None:
            return replace(trial, rungs=judged.rungs)
        told = f"worse than others at step {judged.stop_at}"
        return replace(trial, rungs=judged.rungs, stopping=TrialState.PRUNED, message=told)

    def _stop(self, trial: Trial) -> None:
        """Where its provider is not reached, whoever carries the job brings it the wish."""
        try:
            self.desk.stop(trial.job_key, f"{trial.stopping} in search {self.search.id}: {trial.message}")
        except GatewayTuningError as error:
            logger.warning("trial %d is to be stopped; %s", trial.number, error)

    def _start_next(self) -> bool:
        trials = self.trials()
        limits, active_s = self.search.plan.budget, self.active_s
        # What confirms goes on after the trials are used up, and not after the time is.
        if self.ending is None or (self.ending.by.leaves_means and budget.is_late(limits, active_s)):
            self.ending = budget.ending(limits, trials, active_s=active_s)
        asked = self._next(trials) if self.ending is None else None
        if asked is None and self.ending is not None and self.ending.by.leaves_means:
            asked = self._confirming(trials)
        if asked is None:
            return False
        role, hyperparameters, seed = asked
        spec = self.search.spec(hyperparameters, seed)
        price = self._price(spec)
        refused = budget.refusal(limits, trials, price)
        if refused is not None:
            self.ending = refused
            return False
        trial = Trial(
            search_id=self.search.id,
            number=len(trials),
            role=role,
            hyperparameters=hyperparameters,
            seed=seed,
            job_key=job_key(spec),
            state=TrialState.RUNNING,
            created_at=self.desk.time.now(),
            price=price.amount,
        )
        self.desk.store.add(trial, lease=self.lease)
        logger.info("trial %d begins: %s", trial.number, _point(hyperparameters))
        self.desk.crew.start(self.search, trial)
        return True

    def _next(self, trials: Sequence[Trial]) -> tuple[Role, dict[str, Any], int] | None:
        plan = self.search.plan
        if not trials:
            return Role.DEFAULT, plan.training.hyperparameters, plan.training.seed
        point = propose(plan, len(trials), trials, defaults=self.desk.defaults)
        if point is None:
            self.ending = ALL_TRIED
            return None
        return Role.SEARCH, plan.training.hyperparameters | point, plan.training.seed

    def _confirming(self, trials: Sequence[Trial]) -> tuple[Role, dict[str, Any], int] | None:
        """The best and the default with other seeds, in turns; once all that searches has ended."""
        if any(trial.role.searches and trial.state is TrialState.RUNNING for trial in trials):
            return None
        best, default = best_of(self.search.plan.objective, trials), trials[0]
        if best is None or best.role is Role.DEFAULT or default.state is not TrialState.COMPLETE:
            return None
        begun = {(trial.role, trial.seed) for trial in trials}
        for more in range(1, self.search.plan.confirm + 1):
            seed = self.search.plan.training.seed + more
            for role, trial in ((Role.CONFIRM_DEFAULT, default), (Role.CONFIRM_BEST, best)):
                if (role, seed) not in begun:
                    return role, trial.hyperparameters, seed
        return None

    def _price(self, spec: TuningSpec) -> Price:
        """Nothing, of a job that has ended already."""
        known = self.desk.job(job_key(spec))
        if known is not None and known.status.is_terminal and known.provider_job_id is not None:
            return Price(Decimal(0), self.search.plan.budget.currency)
        return self.desk.price(spec)

    def _write(self, trial: Trial) -> None:
        self.desk.store.write(trial, lease=self.lease)

    def _renew(self) -> None:
        if self.desk.time.monotonic() - self.renewed >= RENEW_SECONDS:
            self.renewed = self.desk.time.monotonic()
            leases.renew(self.desk.engine, self.lease, now=self.desk.time.now(), seconds=LEASE_SECONDS)
            self._save_time()

    def _save_time(self) -> None:
        self.desk.store.worked(self.search.id, self.active_s, lease=self.lease)


def _told(trial: Trial) -> str:
    value = "" if trial.value is None else f" at {trial.value:.4f}"
    return f"{trial.state}{value}{'; ' + trial.message if trial.message else ''}"


def _point(hyperparameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in hyperparameters.items()) or "the defaults"
