"""Carry a tuning job from intent to a registered model version."""

import logging
import shutil
from dataclasses import dataclass, fields, replace
from pathlib import Path

import sqlalchemy as sa
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.runtime import flow_run

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.cycles.plan import TrainingPlan
from gateway_tuning.datasets.published import export_to
from gateway_tuning.datasets.splits import TRAIN, VALIDATION
from gateway_tuning.errors import ProviderError, ProviderUnavailableError
from gateway_tuning.observability.logs import bound
from gateway_tuning.registry.code_version import code_version
from gateway_tuning.registry.following import follow_job
from gateway_tuning.registry.model_version import (
    CANDIDATE,
    STABLE,
    ModelVersion,
    StoredFile,
    tuned_version_id,
)
from gateway_tuning.serving import tell_hosted
from gateway_tuning.storage import layout
from gateway_tuning.training import catalog
from gateway_tuning.training.job import (
    JobStatus,
    ProviderJob,
    TrainingFiles,
    TunedModel,
    TuningSpec,
    exports_folder,
)
from gateway_tuning.training.jobs import TuningJob
from gateway_tuning.training.provider import Provider
from gateway_tuning.training.watching.asking import line_to
from gateway_tuning.training.watching.carrying import Carrier, carry_alone
from gateway_tuning.training.watching.limits import Limits, Verdict
from tasks.costs import check_job, record_cost
from tasks.jobs import told_of
from tasks.patience import BRIEF, STAGE
from tasks.runtime import Runtime, now, runtime

logger = logging.getLogger("gateway_tuning.training")

_AWAY = (ProviderUnavailableError, sa.exc.OperationalError)  # whoever is away may be back after a pause


@task(name="declare job", **BRIEF)
def declare_job(dataset_id: str, training: TrainingPlan) -> str:
    """Write down what is wanted before any provider hears of it. Returns the job's key.

    How long it may take is no part of what is wanted: a job that runs takes on what was chosen last.
    """
    rt, chosen = runtime(), training.model_dump()
    wanted = {field.name: chosen[field.name] for field in fields(TuningSpec) if field.name in chosen}
    limits = Limits(**{field.name: chosen[field.name] for field in fields(Limits) if field.name in chosen})
    spec = TuningSpec(dataset_id=dataset_id, **wanted)
    check_job(rt, spec, training)
    tenant = rt.datasets.manifest(dataset_id).tenant
    return rt.jobs.intend(spec, tenant=tenant, now=now(), limits=limits).key


@task(
    name="run job",
    retries=5,
    retry_delay_seconds=[2, 5, 15, 60, 300],
    retry_jitter_factor=0.5,
    retry_condition_fn=lambda _task, _run, state: isinstance(state.data, _AWAY),
)
def run_job(key: str, model: str | None = None) -> str:
    """Submit the job, or find it where an earlier attempt left it, and wait for its end. Returns the key.

    Args:
        key: of a declared job.
        model: whose version it is to give; a trial of a search gives none.

    Raises:
        ProviderError: the job failed or was cancelled; the message says why.
        ConflictError: another process took the job over while this one was stopped, or the model is another tenant's.
    """
    rt = runtime()
    job = rt.jobs.get(key)
    follow = _Follower(rt, model)
    follow(job)
    if not job.status.is_terminal:
        with bound(job=key[:12]):
            job = _carried(rt, job, follow)
    follow(job)
    record_cost(rt, job)
    if job.status is not JobStatus.SUCCEEDED:
        raise ProviderError(f"Tuning job {key[:12]} ended as {job.status}: {job.message}")
    return key


@task(name="register version", **STAGE)
def register_version(key: str, model: str) -> StageResult:
    """Keep the job's files under their checksums and make the version the model's candidate."""
    rt = runtime()
    job = rt.jobs.get(key)
    version_id = tuned_version_id(model, key)
    rt.datasets.manifest(job.spec.dataset_id)  # raises ErasedError before anything is copied
    tuned = _tuned(rt, job)
    files = {}
    for name, path in tuned.files.items():
        data = path.read_bytes()
        digest = rt.objects.write(layout.model_file(version_id, name), data)
        files[name] = StoredFile(layout.model_file(version_id, name), digest, len(data))
    version = rt.registry.register(
        replace(_version_of(job, model), served_model=tuned.served_model, files=files, metrics=tuned.metrics)
    )
    tell_hosted(version, registry=rt.registry, settings=rt.settings, now=now())
    if rt.registry.aliases(model).get(STABLE) != version.id:
        rt.registry.point(model, CANDIDATE, version.id, reason=f"trained by job {key[:12]}", now=now())
    create_markdown_artifact(_markdown(version), key="model-version", description=version.id)
    return StageResult(id=version.id, detail={"metrics": version.metrics, "job": key})


def _carried(rt: Runtime, job: TuningJob, follow: "_Follower") -> TuningJob:
    provider = catalog.provider(job.spec.provider, rt.settings)
    folder, made = _folder(rt, job), []

    def files() -> TrainingFiles:
        made.append(folder)
        return _training_files(rt, job, provider)

    carrier = Carrier(
        jobs=rt.jobs,
        provider=provider,
        line=line_to(job.spec.provider),
        files=files,
        require_live=lambda: _require_live(rt, job),
        tell=_Teller(job, follow),
    )
    try:
        job = carry_alone(rt.engine, carrier, job.key, run_id=flow_run.root_flow_run_id)
    finally:
        # The provider has its own copy. A run that ends while it waits for another one leaves that one its files.
        if (made or job.status.is_terminal) and folder.exists():
            shutil.rmtree(folder)
    return job


def _version_of(job: TuningJob, model: str) -> ModelVersion:
    """What a job is to give, without what its training leaves."""
    return ModelVersion(
        id=tuned_version_id(model, job.key),
        tenant=job.tenant,
        model=model,
        base_model=job.spec.base_model,
        provider=job.spec.provider,
        created_at=now(),
        dataset_id=job.spec.dataset_id,
        job_key=job.key,
        hyperparameters=job.spec.hyperparameters,
        code=code_version(),
    )


@dataclass(slots=True)
class _Follower:
    """Keeps the version that a job is to give at the job's status. Each status is told to the registry once."""

    rt: Runtime
    model: str | None
    told: JobStatus | None = None

    def __call__(self, job: TuningJob) -> None:
        if self.model is not None and job.status is not self.told:
            wanted = _version_of(job, self.model)
            follow_job(self.rt.registry, wanted, job.status, message=job.message, now=now())
            self.told = job.status


class _Teller:
    """Tells a run how its job gets on: each tenth of the way in the log, the rest as a progress bar."""

    def __init__(self, job: TuningJob, follow: _Follower) -> None:
        self._follow = follow
        self._progress = create_progress_artifact(0.0, key="training", description=f"job {job.key[:12]}")
        self._told = ""

    def __call__(self, job: TuningJob, seen: ProviderJob, verdict: Verdict) -> None:
        # As recorded, not as seen: a job that was stopped for its best checkpoint has not failed.
        self._follow(job)
        told_of(job, seen, verdict)
        if _told(seen) != self._told:
            self._told = _told(seen)
            logger.info("%s", self._told)
        if seen.progress is not None:
            update_progress_artifact(self._progress, seen.progress * 100)  # type: ignore[arg-type] # sync call gives the id


def _told(seen: ProviderJob) -> str:
    """What a person wants to hear: the provider's word and each tenth of the way."""
    said = seen.message or seen.status.value
    if not seen.progress:
        return said
    return f"{said}, {10 * int(10 * seen.progress)} % of the steps"


def _tuned(rt: Runtime, job: TuningJob) -> TunedModel:
    """Of a job that was stopped for its best checkpoint, that checkpoint: the provider has no other result."""
    if job.kept is not None:
        return TunedModel(served_model=job.kept.served_model, metrics=job.metrics)
    provider, job_id = catalog.provider(job.spec.provider, rt.settings), job.provider_job_id or job.key
    return line_to(job.spec.provider).ask(lambda: provider.collect(job_id))


def _training_files(rt: Runtime, job: TuningJob, provider: Provider) -> TrainingFiles:
    """In the format of the method: the dataset's own export where it has one, made of its parts where not."""
    manifest = rt.datasets.manifest(job.spec.dataset_id)
    name = provider.capabilities.of_base(job.spec.base_model).export_of(job.spec.method)
    folder = _folder(rt, job)
    train = export_to(folder / f"{name}-{TRAIN}.jsonl", rt.objects, manifest, name, TRAIN)
    if train is None:
        raise ProviderError(
            f"Dataset {manifest.dataset_id} has no training examples that {name} can hold, which "
            f"{job.spec.provider} needs for {job.spec.method}"
        )
    held_out = export_to(folder / f"{name}-{VALIDATION}.jsonl", rt.objects, manifest, name, VALIDATION)
    return TrainingFiles(train=train, validation=held_out)


def _require_live(rt: Runtime, job: TuningJob) -> None:
    """Raises ErasedError."""
    rt.datasets.manifest(job.spec.dataset_id)


def _folder(rt: Runtime, job: TuningJob) -> Path:
    """One a job: another one may train on the same dataset at the same time."""
    return exports_folder(rt.settings.cache_dir, job.spec.dataset_id) / job.key[:12]


def _markdown(version: ModelVersion) -> str:
    lines = [
        f"# Model version `{version.id}`",
        f"{version.base_model} tuned by {version.provider} on dataset `{version.dataset_id}`",
        "",
        "| metric | value |",
        "|---|---:|",
        *(f"| {name.replace('_', ' ')} | {_figure(value)} |" for name, value in version.metrics.items()),
        "",
        "| file | sha256 | bytes |",
        "|---|---|---:|",
        *(f"| {name} | `{file.sha256[:16]}…` | {file.bytes:,} |" for name, file in version.files.items()),
    ]
    return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - where digits need grouping
