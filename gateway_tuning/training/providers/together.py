"""Together AI over its REST API, in the words of its documentation (docs.together.ai/reference, November 2026).

Built from the documents and held to them by a server in the tests; not tried against the live service. A job has no
metadata and its creation no idempotency key, so our key stands in the suffix of the model's name. The API tells no
losses: metrics are the tokens and the price, and checkpoints can be trained on from, not asked. `seed` makes jobs
differ, it is not sent.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from gateway_tuning.errors import NotFoundError
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
    Submission,
    Upload,
    ask_to_stop,
    checked,
    create_once,
    key_of_mark,
    mark_prefix,
    no_result,
    require_ended,
    require_same_mark,
)

WHO = "Together"
CAPABILITIES = Capabilities(
    exports={"supervised": "together-sft", "dpo": "together-dpo"}, base_models=None, min_examples=1
)
NANODOLLARS = 10**9  # in a dollar; a price is told in them
_MARK = re.compile(r"gt-[a-z0-9]{12,24}-[0-9a-f]{8}-[0-9a-f]{8}")  # as `Submission.mark` makes it
STATUSES = {
    "pending": JobStatus.QUEUED,
    "queued": JobStatus.QUEUED,
    "running": JobStatus.RUNNING,
    "compressing": JobStatus.RUNNING,
    "uploading": JobStatus.RUNNING,
    "cancel_requested": JobStatus.RUNNING,
    "cancelled": JobStatus.CANCELLED,
    "error": JobStatus.FAILED,
    "completed": JobStatus.SUCCEEDED,
}


class Supervised(BaseModel):
    model_config = ConfigDict(extra="forbid")

    n_epochs: PositiveInt = 1
    n_checkpoints: PositiveInt = 1
    n_evals: int = Field(0, ge=0, le=100)
    batch_size: PositiveInt | Literal["max"] = "max"
    learning_rate: PositiveFloat = 1e-5
    warmup_ratio: float = Field(0.0, ge=0, le=1)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, ge=0)
    train_on_inputs: bool | Literal["auto"] = "auto"
    lora_rank: PositiveInt = 8
    lora_alpha: PositiveInt = 16


class Dpo(Supervised):
    beta: PositiveFloat = 0.1


PARAMETERS: dict[str, type[BaseModel]] = {"supervised": Supervised, "dpo": Dpo}


class Event(BaseModel):
    message: str = ""
    type: str | None = None
    step: int | None = None
    total_steps: int | None = None


class Job(BaseModel):
    id: str = Field(pattern=answers.ID)
    status: str
    created_at: str = ""
    suffix: str | None = None
    output_name: str | None = Field(
        None, validation_alias=AliasChoices("model_output_name", "output_name", "x_model_output_name")
    )
    training_file: str | None = None
    validation_file: str | None = None
    token_count: int | None = None
    total_price: float | None = None
    events: list[Event] | None = None

    @property
    def mark(self) -> str:
        """Lists may leave the suffix out; then it is at the end of the model's name, before a hash."""
        if self.suffix:
            return self.suffix
        found = _MARK.search((self.output_name or "").rpartition("/")[2])
        return found.group() if found else ""


class Jobs(BaseModel):
    data: list[Job]


class File(BaseModel):
    id: str = Field(pattern=answers.ID)
    filename: str = ""
    bytes: int | None = None


class Files(BaseModel):
    data: list[File]


class CheckpointSeen(BaseModel):
    step: int


class Checkpoints(BaseModel):
    data: list[CheckpointSeen]


class TogetherProvider:
    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def submit(self, key: str, spec: TuningSpec, files: TrainingFiles) -> ProviderJob:
        submission = checked(WHO, key, spec, files, capabilities=CAPABILITIES, parameters=PARAMETERS)
        if (known := self._find(key)) is not None:
            require_same_mark(key, known.mark[: len(submission.mark())], submission.mark())
            return self.poll(known.id)
        return _seen(
            create_once(
                lambda: self._create(submission),
                lambda: self._find(key),
                lambda: self._delete(self._named(key)),
            )
        )

    def poll(self, job_id: str) -> ProviderJob:
        job = self._job(job_id)
        checkpoints = () if _status(job) is JobStatus.QUEUED else self._checkpoints(job.id)
        return _seen(job, checkpoints)

    def cancel(self, job_id: str) -> None:
        ask_to_stop(
            lambda: self._rest.ask(Anything, "POST", f"/fine-tunes/{job_id}/cancel"),
            lambda: _status(self._job(job_id)).is_terminal,
        )

    def collect(self, job_id: str) -> TunedModel:
        """Raises ProviderError: the job has no result."""
        job = self._job(job_id)
        if _status(job) is not JobStatus.SUCCEEDED or not job.output_name:
            raise no_result(job_id, _seen(job))
        return TunedModel(served_model=job.output_name, metrics=_seen(job).metrics)

    def discard(self, job_id: str) -> None:
        job = self._known(job_id) or self._find(job_id)
        if job is not None:
            require_ended(job_id, _status(job))
        key = job_id if job is None else key_of_mark(job.mark)
        named = [] if key is None else self._named(key)
        if job is None and not named:
            raise NotFoundError(f"{WHO} has no job {job_id}, and no file of one")
        given = [] if job is None else [file for file in (job.training_file, job.validation_file) if file]
        self._delete({*named, *given})

    def known_jobs(self) -> Iterable[KnownJob]:
        jobs = self._rest.ask(Jobs, "GET", "/fine-tunes").data
        newest_first = sorted(jobs, key=lambda job: job.created_at, reverse=True)
        return [KnownJob(key, _seen(job)) for job in newest_first if (key := key_of_mark(job.mark))]

    def _job(self, job_id: str) -> Job:
        if (job := self._known(job_id)) is None:
            raise NotFoundError(f"{WHO} has no tuning job {job_id}")
        return job

    def _known(self, job_id: str) -> Job | None:
        return self._rest.ask_for(Job, "GET", f"/fine-tunes/{job_id}") if answers.is_id(job_id) else None

    def _find(self, key: str) -> Job | None:
        """The oldest with this key: a later one is a double."""
        jobs = self._rest.ask(Jobs, "GET", "/fine-tunes").data
        mine = [job for job in jobs if job.mark.startswith(mark_prefix(key))]
        return min(mine, key=lambda job: job.created_at, default=None)

    def _files(self) -> list[File]:
        return self._rest.ask(Files, "GET", "/files").data

    def _named(self, key: str) -> list[str]:
        """Files of the job with this key, or with this label of one."""
        return [file.id for file in self._files() if file.filename.startswith(mark_prefix(key))]

    def _delete(self, files: Iterable[str]) -> None:
        for file in files:
            self._rest.delete(f"/files/{file}")

    def _upload(self, upload: Upload) -> str:
        for known in self._files():
            if known.filename == upload.name and known.bytes in {None, upload.size}:
                return known.id
        fields = {"purpose": "fine-tune", "file_name": upload.name, "file_type": "jsonl"}
        return self._rest.send(File, "/files/upload", upload, fields).id

    def _create(self, submission: Submission) -> Job:
        ids = [self._upload(upload) for upload in submission.uploads]
        given = dict(submission.hyperparameters)
        on_inputs, beta = given.pop("train_on_inputs", "auto"), given.pop("beta", None)
        rank, alpha = given.pop("lora_rank", None), given.pop("lora_alpha", None)
        asked: dict[str, Any] = {
            **given,
            "model": submission.spec.base_model,
            "training_file": ids[0],
            "suffix": submission.mark(),
            "training_method": {"method": "sft", "train_on_inputs": on_inputs},
        }
        if submission.spec.method == "dpo":
            asked["training_method"] = {"method": "dpo"} | ({} if beta is None else {"dpo_beta": beta})
        if rank is not None or alpha is not None:
            rank = rank or 8
            asked["training_type"] = {"type": "Lora", "lora_r": rank, "lora_alpha": alpha or 2 * rank}
        if submission.validation is not None:
            asked["validation_file"] = ids[1]
        return self._rest.ask(Job, "POST", "/fine-tunes", json=asked)

    def _checkpoints(self, job_id: str) -> tuple[Checkpoint, ...]:
        told = self._rest.ask_for(Checkpoints, "GET", f"/fine-tunes/{job_id}/checkpoints")
        seen = sorted([] if told is None else told.data, key=lambda one: one.step)
        return tuple(Checkpoint(one.step) for one in seen)


def build(settings: Settings) -> TogetherProvider:
    def key() -> Any:
        return api_key.required(settings.together_api_key, WHO, "TOGETHER_API_KEY")

    return TogetherProvider(Rest(WHO, lambda: settings.together_base_url, key, settings.request_timeout_s))


def _status(job: Job) -> JobStatus:
    return STATUSES.get(job.status, JobStatus.RUNNING)


def _seen(job: Job, checkpoints: tuple[Checkpoint, ...] = ()) -> ProviderJob:
    status = _status(job)
    events = job.events or []
    steps = next(
        ((one.step, one.total_steps) for one in reversed(events) if one.step and one.total_steps), None
    )
    progress = (
        1.0 if status is JobStatus.SUCCEEDED else None if steps is None else min(1.0, steps[0] / steps[1])
    )
    return ProviderJob(job.id, status, progress, _message(job, events), _used(job, status), checkpoints)


def _used(job: Job, status: JobStatus) -> dict[str, float]:
    """Tokens, and the price in dollars: a forecast until the job succeeds, and 0 as long as it is unknown."""
    used = {} if job.token_count is None else {"tokens": float(job.token_count)}
    if status is JobStatus.SUCCEEDED and job.total_price:
        used["cost"] = job.total_price / NANODOLLARS
    return used


def _message(job: Job, events: list[Event]) -> str:
    if job.status not in STATUSES:
        return f"{WHO} calls it {job.status!r}, which is not known here; it counts as running"
    said = events[-1].message if events else ""
    if job.status == "error":
        return answers.explained(None, said)
    return answers.quoted(said)
