"""A trainer of your own behind a few HTTP routes; docs/how-to/add-a-provider.md has the contract in full."""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway_tuning.errors import ConfigurationError, NotFoundError
from gateway_tuning.settings import Settings
from gateway_tuning.training.job import (
    Checkpoint,
    JobStatus,
    ProviderJob,
    TrainingFiles,
    TunedModel,
    TuningSpec,
)
from gateway_tuning.training.provider import Capabilities, KnownJob
from gateway_tuning.training.providers import answers, api_key
from gateway_tuning.training.providers.rest import Anything, Rest
from gateway_tuning.training.providers.submission import (
    ask_to_stop,
    checked,
    no_result,
    require_ended,
    require_same,
)

WHO = "The custom trainer"
LONGEST_NAME = 100
CAPABILITIES = Capabilities(
    exports={"supervised": "chat", "dpo": "trl-dpo", "kto": "trl-kto"}, base_models=None, min_examples=1
)
STATUSES = {status.value for status in JobStatus}


class Whatever(BaseModel):
    """Hyperparameters are the trainer's to check."""

    model_config = ConfigDict(extra="allow")


PARAMETERS: dict[str, type[BaseModel]] = dict.fromkeys(CAPABILITIES.exports, Whatever)


class CheckpointSeen(BaseModel):
    step: int
    metrics: dict[str, float] = {}
    served_model: str | None = None


class Job(BaseModel):
    key: str = Field(pattern=answers.ID)
    status: str
    progress: float | None = Field(None, ge=0, le=1)
    message: str = ""
    metrics: dict[str, float] = {}
    checkpoints: list[CheckpointSeen] = []
    facts: dict[str, str] = {}


class Jobs(BaseModel):
    jobs: list[Job] = []


class ResultFile(BaseModel):
    name: str = Field(pattern=answers.ID)
    sha256: str


class Result(BaseModel):
    served_model: str | None = None
    metrics: dict[str, float] = {}
    files: list[ResultFile] = []


class CustomProvider:
    """`results` is where result files are kept."""

    def __init__(self, rest: Rest, results: Path) -> None:
        self._rest = rest
        self._results = results

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def submit(self, key: str, spec: TuningSpec, files: TrainingFiles) -> ProviderJob:
        """PUT is idempotent by contract, so nothing has to be known of how an earlier one ended."""
        submission = checked(WHO, key, spec, files, capabilities=CAPABILITIES, parameters=PARAMETERS)
        if (known := self._known(key)) is not None:
            require_same(key, known.facts, submission.facts())
            return _seen(known)
        asked = {
            "key": _name(key),
            "base_model": spec.base_model,
            "method": spec.method,
            "format": CAPABILITIES.export_of(spec.method),
            "hyperparameters": submission.hyperparameters,
            "seed": spec.seed,
            "dataset_id": spec.dataset_id,
            "facts": submission.facts(),
        }
        made = self._rest.put_files(Job, _path(key), {"job": json.dumps(asked)}, submission.uploads)
        if made is None:  # somebody else put it first
            made = self._job(key)
        require_same(key, made.facts, submission.facts())
        return _seen(made)

    def poll(self, job_id: str) -> ProviderJob:
        return _seen(self._job(job_id))

    def cancel(self, job_id: str) -> None:
        ask_to_stop(
            lambda: self._rest.ask(Anything, "POST", f"{_path(job_id)}/cancel"),
            lambda: _status(self._job(job_id)).is_terminal,
        )

    def collect(self, job_id: str) -> TunedModel:
        """The files of the result are fetched, and held to their checksums.

        Raises:
            ProviderError: the job has no result.
            ProviderUnavailableError: a file came otherwise than the trainer said.
        """
        job = self._job(job_id)
        if _status(job) is not JobStatus.SUCCEEDED:
            raise no_result(job_id, _seen(job))
        result = self._rest.ask(Result, "GET", f"{_path(job_id)}/result")
        files = {file.name: self._fetched(job_id, file) for file in result.files}
        return TunedModel(files=files, served_model=result.served_model, metrics=result.metrics)

    def discard(self, job_id: str) -> None:
        job = self._known(job_id)
        if job is not None:
            require_ended(job_id, _status(job))
        if not self._rest.delete(f"{_path(job_id)}/files") and job is None:
            raise NotFoundError(f"{WHO} has no job {job_id}, and no file of one")

    def known_jobs(self) -> Iterable[KnownJob]:
        """By contract newest first."""
        return [KnownJob(job.key, _seen(job)) for job in self._rest.ask(Jobs, "GET", "/jobs").jobs]

    def _job(self, job_id: str) -> Job:
        if (job := self._known(job_id)) is None:
            raise NotFoundError(f"{WHO} has no tuning job {job_id}")
        return job

    def _known(self, job_id: str) -> Job | None:
        return self._rest.ask_for(Job, "GET", _path(job_id))

    def _fetched(self, job_id: str, file: ResultFile) -> Path:
        path = self._results / _name(job_id) / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        arriving = path.with_name(f".{file.name}.{uuid4().hex}")  # an earlier one may be in use
        try:
            digest = self._rest.download(f"{_path(job_id)}/result/{file.name}", arriving)
            if digest != file.sha256.lower():
                raise answers.unavailable(WHO, f"{file.name} of job {job_id} does not match its sha256")
            return arriving.replace(path)
        finally:
            arriving.unlink(missing_ok=True)


def build(settings: Settings) -> CustomProvider:
    def address() -> str:
        if settings.custom_trainer_url is None:
            raise ConfigurationError(f"{WHO} has no address: set GATEWAY_TUNING_CUSTOM_TRAINER_URL")
        return settings.custom_trainer_url

    def key() -> SecretStr | None:
        given = settings.custom_trainer_key
        return None if given is None else api_key.sendable(given, "GATEWAY_TUNING_CUSTOM_TRAINER_KEY")

    rest = Rest(WHO, address, key, settings.request_timeout_s)
    return CustomProvider(rest, settings.cache_dir / "results" / "custom")


def _name(key: str) -> str:
    """A key that is no plain name is replaced by its hash."""
    return key if answers.is_id(key) and len(key) <= LONGEST_NAME else sha256(key.encode()).hexdigest()


def _path(key: str) -> str:
    return f"/jobs/{_name(key)}"


def _status(job: Job) -> JobStatus:
    return JobStatus(job.status) if job.status in STATUSES else JobStatus.RUNNING


def _seen(job: Job) -> ProviderJob:
    status = _status(job)
    message = answers.quoted(job.message)
    if job.status not in STATUSES:
        message = f"{WHO} calls it {job.status!r}, which is not known here; it counts as running"
    checkpoints = sorted(job.checkpoints, key=lambda one: one.step)
    return ProviderJob(
        job.key,
        status,
        1.0 if status is JobStatus.SUCCEEDED else job.progress,
        message,
        job.metrics,
        tuple(Checkpoint(one.step, one.metrics, one.served_model) for one in checkpoints),
    )
