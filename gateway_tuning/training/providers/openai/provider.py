"""OpenAI, and whatever speaks its fine-tuning API: `gateway-tuning serve-local`, or a compatible server.

OpenAI knows no idempotency key. A job carries ours in its metadata instead, is looked for before it is created, and
again when it is not known whether it was created. Files carry the key and their checksum in their names.
"""

import itertools
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway_tuning.errors import (
    ConfigurationError,
    NotFoundError,
    ProviderError,
)
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
from gateway_tuning.training.providers.openai import results
from gateway_tuning.training.providers.openai.wire import (
    KEY,
    PARAMETERS,
    STATUSES,
    WHO,
    CheckpointSeen,
    Event,
    File,
    Job,
    ask,
    ask_for,
    method,
    read,
    sdk,
)
from gateway_tuning.training.providers.submission import (
    Submission,
    Upload,
    ask_to_stop,
    checked,
    create_once,
    label,
    mark_prefix,
    no_result,
    require_ended,
    require_same,
)

if TYPE_CHECKING:
    from openai import OpenAI

CAPABILITIES = Capabilities(
    exports={"supervised": "openai-sft", "dpo": "openai-dpo", "reinforcement": "openai-rft"},
    base_models=None,
    min_examples=10,
)
PURPOSE: Final = "fine-tune"
PAGE = 100
MOST_JOBS = 10_000  # that are looked through for one of ours
EVENTS = 50
LONGEST_KEY = 512
RETRIES = 2


class OpenAIProvider:
    """`connect` gives the client, once it is needed; `kept` is where result files are kept."""

    def __init__(self, connect: "Callable[[], OpenAI]", kept: Path) -> None:
        self._connect = connect
        self._kept = kept

    @cached_property
    def _client(self) -> "OpenAI":
        return self._connect()

    @cached_property
    def _writing(self) -> "OpenAI":
        """The SDK would send again what may have been done already."""
        return self._client.with_options(max_retries=0)

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def submit(self, key: str, spec: TuningSpec, files: TrainingFiles) -> ProviderJob:
        submission = checked(WHO, key, spec, files, capabilities=CAPABILITIES, parameters=PARAMETERS)
        if spec.method == "reinforcement" and submission.validation is None:
            raise ProviderError(f"{WHO} needs validation examples for reinforcement; add some to the dataset")
        if (known := self._find(key)) is not None:
            require_same(key, known.metadata, submission.facts())
            return self._seen(known)
        return _glimpse(
            create_once(
                lambda: self._create(submission),
                lambda: self._find(key),
                lambda: self._delete(self._named(key)),
            )
        )

    def poll(self, job_id: str) -> ProviderJob:
        return self._seen(self._job(job_id))

    def cancel(self, job_id: str) -> None:
        ask_to_stop(
            lambda: ask(lambda: self._writing.fine_tuning.jobs.cancel(job_id)),
            lambda: _status(self._job(job_id)).is_terminal,
        )

    def collect(self, job_id: str) -> TunedModel:
        """The model's name, the last metrics and OpenAI's table of metrics by step.

        Raises:
            ProviderError: the job has no result.
        """
        job = self._job(job_id)
        if _status(job) is not JobStatus.SUCCEEDED or not job.fine_tuned_model:
            raise no_result(job_id, _glimpse(job))
        tables = [table for file in job.result_files if (table := self._table(file)) is not None]
        metrics = _tokens(job)
        files: dict[str, Path] = {}
        for number, table in enumerate(tables, start=1):
            metrics |= results.last_of_each(table)
            name = "metrics.csv" if number == 1 else f"metrics-{number}.csv"
            files[name] = self._kept / job.id / name
            files[name].parent.mkdir(parents=True, exist_ok=True)
            files[name].write_text(table, encoding="utf-8", newline="")
        return TunedModel(files=files, served_model=job.fine_tuned_model, metrics=metrics)

    def discard(self, job_id: str) -> None:
        """OpenAI keeps the result files, which hold figures alone, and its own logs as its terms say."""
        job = self._known(job_id) or self._find(job_id)
        if job is not None:
            require_ended(job_id, _status(job))
        key = job_id if job is None else job.metadata.get(KEY)
        named = [] if key is None else self._named(key)
        if job is None and not named:
            raise NotFoundError(f"{WHO} has no job {job_id}, and no file of one")
        self._delete({*named, *([] if job is None else job.files)})

    def known_jobs(self) -> Iterable[KnownJob]:
        jobs = ask(lambda: self._listed({}))
        return [KnownJob(key, _glimpse(job)) for job in jobs if (key := job.metadata.get(KEY))]

    def _job(self, job_id: str) -> Job:
        if (job := self._known(job_id)) is None:
            raise NotFoundError(f"{WHO} has no tuning job {job_id}")
        return job

    def _known(self, job_id: str) -> Job | None:
        if not answers.is_id(job_id):
            return None
        told = ask_for(lambda: self._client.fine_tuning.jobs.retrieve(job_id))
        return None if told is None else read(Job, told)

    def _find(self, key: str) -> Job | None:
        """The oldest with this key: a later one is a double. Servers that ignore the filter are seen through."""
        wanted = key[:LONGEST_KEY]
        jobs = ask(lambda: self._listed({KEY: wanted}))
        mine = [job for job in jobs if job.metadata.get(KEY) == wanted]
        return min(mine, key=lambda job: job.created_at, default=None)

    def _listed(self, metadata: dict[str, str]) -> list[Job]:
        asked: dict[str, Any] = {"metadata": metadata} if metadata else {}
        jobs = self._client.fine_tuning.jobs.list(limit=PAGE, **asked)
        return [read(Job, job) for job in itertools.islice(jobs, MOST_JOBS)]

    def _files(self, prefix: str) -> list[File]:
        files = ask(lambda: [read(File, file) for file in self._client.files.list(purpose=PURPOSE)])
        return [file for file in files if file.filename.startswith(prefix)]

    def _named(self, key: str) -> list[str]:
        return [file.id for file in self._files(mark_prefix(key))]

    def _delete(self, files: Iterable[str]) -> None:
        for file in files:
            ask_for(lambda file=file: self._client.files.delete(file))  # type: ignore[misc]

    def _upload(self, upload: Upload) -> str:
        """The id of the file, which is there already if an earlier submission got so far."""
        for known in self._files(upload.name):
            if known.status != "error" and known.bytes in {None, upload.size}:
                return known.id
        with upload.path.open("rb") as content:
            sent = (upload.name, content)
            return read(File, ask(lambda: self._writing.files.create(file=sent, purpose=PURPOSE))).id

    def _create(self, submission: Submission) -> Job:
        ids = [self._upload(upload) for upload in submission.uploads]
        asked: dict[str, Any] = {
            "model": submission.spec.base_model,
            "training_file": ids[0],
            "method": method(submission.spec.method, submission.hyperparameters),
            "seed": submission.spec.seed,
            "suffix": f"gt-{label(submission.key)[:12]}",
            "metadata": {KEY: submission.key[:LONGEST_KEY], **submission.facts()},
        }
        if submission.validation is not None:
            asked["validation_file"] = ids[1]
        return read(Job, ask(lambda: self._writing.fine_tuning.jobs.create(**asked)))

    def _seen(self, job: Job) -> ProviderJob:
        status = _status(job)
        events = [] if status is JobStatus.QUEUED else self._events(job.id)
        checkpoints = () if status is JobStatus.QUEUED else self._checkpoints(job.id)
        steps = next((event.data for event in events if event.data.get("total_steps")), {})
        metrics = dict(checkpoints[-1].metrics) if checkpoints else {}
        metrics |= next((found for event in events if (found := results.metrics(event.data))), {})
        said = next((event.message for event in events if event.type != "metrics"), "")
        return ProviderJob(
            job.id,
            status,
            1.0 if status is JobStatus.SUCCEEDED else _share(steps),
            _message(job) or answers.quoted(said),
            {**metrics, **_tokens(job)},
            checkpoints,
        )

    def _events(self, job_id: str) -> list[Event]:
        """The newest, newest first; none from a server that has none."""
        told = ask_for(lambda: self._client.fine_tuning.jobs.list_events(job_id, limit=EVENTS).data)
        events = [read(Event, event) for event in told or ()]
        return sorted(events, key=lambda event: -event.created_at)  # stable: of one second, as they were told

    def _checkpoints(self, job_id: str) -> tuple[Checkpoint, ...]:
        told = ask_for(lambda: list(self._client.fine_tuning.jobs.checkpoints.list(job_id, limit=PAGE)))
        seen = [read(CheckpointSeen, checkpoint) for checkpoint in told or ()]
        return tuple(
            Checkpoint(one.step_number, results.metrics(one.metrics), one.fine_tuned_model_checkpoint)
            for one in sorted(seen, key=lambda one: one.step_number)
        )

    def _table(self, file: str) -> str | None:
        """None for a file that is no table, or is gone."""
        content = ask_for(lambda: self._client.files.content(file).read())
        return None if content is None else results.text_of(content)


def build(settings: Settings, *, retries: int = RETRIES) -> OpenAIProvider:
    """`retries` of a question, by the SDK; what changes anything is never sent again by itself."""

    def connect() -> "OpenAI":
        key = settings.openai_api_key
        if key is None and settings.openai_base_url is None:
            raise ConfigurationError(
                "OpenAI needs an API key: set OPENAI_API_KEY, or OPENAI_BASE_URL for a compatible server without one"
            )
        openai = sdk()
        client: OpenAI = openai.OpenAI(
            api_key="none" if key is None else api_key.sendable(key, "OPENAI_API_KEY").get_secret_value(),
            base_url=settings.openai_base_url or "https://api.openai.com/v1",
            max_retries=retries,
            timeout=settings.request_timeout_s,
            # A redirect would carry training data to a host that nobody named.
            http_client=openai.DefaultHttpxClient(follow_redirects=False, timeout=settings.request_timeout_s),
        )
        return client

    return OpenAIProvider(connect, settings.cache_dir / "results" / "openai")


def _status(job: Job) -> JobStatus:
    return STATUSES.get(job.status, JobStatus.RUNNING)


def _glimpse(job: Job) -> ProviderJob:
    """Without a look at its events and checkpoints."""
    status = _status(job)
    done = 1.0 if status is JobStatus.SUCCEEDED else None
    return ProviderJob(job.id, status, done, _message(job), _tokens(job))


def _message(job: Job) -> str:
    if job.status not in STATUSES:
        return f"{WHO} calls it {job.status!r}, which is not known here; it counts as running"
    if job.error is not None and (job.error.code or job.error.message):
        return answers.explained(job.error.code, job.error.message or "")
    return ""


def _tokens(job: Job) -> dict[str, float]:
    return {} if job.trained_tokens is None else {"tokens": float(job.trained_tokens)}


def _share(steps: dict[str, Any]) -> float | None:
    done, of = steps.get("step"), steps.get("total_steps")
    if not isinstance(done, int | float) or not isinstance(of, int | float) or of <= 0:
        return None
    return min(1.0, max(0.0, done / of))
