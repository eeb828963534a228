"""Search for hyperparameters: every trial a tuning job, every job a task of the run."""

import logging
from decimal import Decimal
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture, wait

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.datasets.published import read_split
from gateway_tuning.datasets.splits import VALIDATION
from gateway_tuning.errors import ConfigurationError, NotFoundError, ProviderError
from gateway_tuning.training import catalog
from gateway_tuning.training.cost.affording import Counter
from gateway_tuning.training.job import JobStatus, TunedModel, TuningSpec
from gateway_tuning.training.jobs import TuningJob
from gateway_tuning.training.search import checking, measuring, report
from gateway_tuning.training.search.budget import Price
from gateway_tuning.training.search.conducting import Desk, conduct
from gateway_tuning.training.search.plan import SIMILARITY, SearchPlan
from gateway_tuning.training.search.settling import Ended, told_value
from gateway_tuning.training.search.store import SearchStore
from gateway_tuning.training.search.trial import Search, Trial
from gateway_tuning.training.watching.asking import TIME, line_to
from gateway_tuning.training.watching.reconciling import Reconciler
from gateway_tuning.training.watching.stopping import stop
from tasks import training as jobs
from tasks.jobs import told_of
from tasks.patience import BRIEF
from tasks.runtime import Runtime, now, runtime

logger = logging.getLogger("gateway_tuning.search")


@task(name="open search", **BRIEF)
def open_search(dataset_id: str, plan: SearchPlan) -> str:
    """The search of this plan on this dataset, as an earlier run left it or new. Returns its id.

    Raises:
        ConfigurationError: the provider does not take what the space offers, or the objective cannot be measured.
    """
    rt = runtime()
    checking.check(plan)
    manifest = rt.datasets.manifest(dataset_id)
    if not any(part.rows for part in manifest.parts if part.split == VALIDATION):
        raise ConfigurationError(
            f"Dataset {dataset_id} has no validation examples to compare trials on; build one with a validation split"
        )
    return SearchStore(rt.engine).open(dataset_id, plan, tenant=manifest.tenant, now=now()).id


def conduct_search(search_id: str) -> Search:
    """To its end, in the run of the flow that calls this. Killed and called again, it goes on."""
    rt = runtime()
    store = SearchStore(rt.engine)
    search = store.get(search_id)
    return conduct(
        Desk(
            store=store,
            engine=rt.engine,
            crew=_Runs(),
            job=lambda key: _job(rt, key),
            stop=lambda key, reason: _stop(rt, key, reason),
            price=lambda spec: _price(rt, search, spec),
            spent=lambda key: _spent(rt, search, key),
            time=TIME,
            defaults=checking.defaults(search.plan),
        ),
        search_id,
    )


@task(name="run trial", task_run_name="trial {number}")
def run_trial(search_id: str, number: int) -> float | None:
    """Train the job of a trial, or find it, and measure it on the validation split.

    A job that failed or was stopped has no value; it tells why itself.

    Raises:
        ProviderError: its provider does not answer, or does not stop it; a later run goes on.
        ServingError: its model does not answer.
    """
    rt = runtime()
    store = SearchStore(rt.engine)
    search = store.get(search_id)
    trial = store.trials(search_id)[number]
    training = search.training(trial.hyperparameters, trial.seed)
    key = jobs.declare_job(search.dataset_id, training)
    try:
        jobs.run_job(key)
    except ProviderError:
        if not rt.jobs.get(key).status.is_terminal:
            raise
    job = rt.jobs.get(key)
    if job.status is not JobStatus.SUCCEEDED:
        return None
    if search.plan.objective.metric != SIMILARITY:
        return told_value(search.plan.objective, job)
    examples = read_split(rt.objects, rt.datasets.manifest(search.dataset_id), VALIDATION)
    name = f"{search_id}-{number}"
    with measuring.served(
        _tuned(rt, job), search.plan.objective, name=name, settings=rt.settings
    ) as endpoint:
        return measuring.similarity(examples, endpoint, search.plan.objective)


@task(name="show search", **BRIEF)
def show_search(search_id: str) -> StageResult:
    """A page with every trial; the result's `training` is what a cycle is to train by."""
    store = SearchStore(runtime().engine)
    search, trials = store.get(search_id), store.trials(search_id)
    create_markdown_artifact(report.markdown(search, trials), key="search", description=search_id)
    return StageResult(id=search_id, detail={"ended_by": search.ended_by, **(search.result or {})})


class _Runs:
    """Trials as task runs of the flow run that calls."""

    def __init__(self) -> None:
        self._futures: dict[PrefectFuture[Any], int] = {}

    def start(self, search: Search, trial: Trial) -> None:
        self._futures[run_trial.submit(search.id, trial.number)] = trial.number

    def ended(self, within_s: float) -> list[Ended]:
        done, _ = wait(list(self._futures), timeout=within_s)
        return [_ended(self._futures.pop(future), future) for future in done]


def _ended(number: int, future: PrefectFuture[Any]) -> Ended:
    result = future.result(raise_on_failure=False)
    if not isinstance(result, BaseException):
        return Ended(number, value=result)
    if isinstance(result, Exception):
        return Ended(number, error=result)
    raise result


def _job(rt: Runtime, key: str) -> TuningJob | None:
    try:
        return rt.jobs.get(key)
    except NotFoundError:
        return None


def _stop(rt: Runtime, key: str, reason: str) -> None:
    stop(Reconciler.of(rt.settings, rt.engine, tell=told_of), key, reason=reason)


def _price(rt: Runtime, search: Search, spec: TuningSpec) -> Price:
    """What is set aside for a job: its estimate with the margin. Asked for a budget of money alone."""
    if search.plan.budget.money is None:
        return Price(None, told="the search has no budget of money")
    hours = search.plan.training.max_training_hours
    manifest = rt.datasets.manifest(search.dataset_id)
    counter = Counter(rt.settings, rt.engine, rt.objects)
    found = counter.estimate(spec, manifest, max_hours=hours, now=now())
    return Price(found.ceiling, found.currency, found.missing)


def _spent(rt: Runtime, search: Search, key: str) -> Decimal | None:
    try:
        entry = rt.costs.get(key, tenant=search.tenant)
    except NotFoundError:
        return None
    return entry.amount if entry.currency == search.plan.budget.currency else None


def _tuned(rt: Runtime, job: TuningJob) -> TunedModel:
    """Of a job that was stopped for its best checkpoint, that checkpoint."""
    if job.kept is not None:
        return TunedModel(served_model=job.kept.served_model)
    provider, job_id = catalog.provider(job.spec.provider, rt.settings), job.provider_job_id or job.key
    return line_to(job.spec.provider).ask(lambda: provider.collect(job_id))
