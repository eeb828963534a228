"""Fireworks AI over its REST API, in the words of its documentation (docs.fireworks.ai/api-reference, November 2026).

Built from the documents and held to them by a server in the tests; not tried against the live service. Jobs and
datasets have the ids that we give them, so none is made twice. The API tells no losses. `seed` makes jobs differ, it
is not sent. What was trained is served once it is deployed there.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from pydantic.alias_generators import to_camel

from gateway_tuning.errors import ConfigurationError, NotFoundError, ProviderError
from gateway_tuning.settings import Settings
from gateway_tuning.training.job import JobStatus, ProviderJob, TrainingFiles, TunedModel, TuningSpec
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
    label,
    mark_prefix,
    no_result,
    require_ended,
    require_same_mark,
)

WHO = "Fireworks"
CAPABILITIES = Capabilities(
    exports={"supervised": "fireworks-sft", "dpo": "fireworks-dpo"}, base_models=None, min_examples=3
)
COLLECTIONS = {"supervised": "supervisedFineTuningJobs", "dpo": "dpoJobs"}
ID_PARAMETERS = {"supervised": "supervisedFineTuningJobId", "dpo": "dpoJobId"}
MOST_BYTES = 150 * 10**6  # of an upload in one request; larger ones go to storage of another host
PAGE = 200
DATASETS = "datasets"
STATES = {
    "JOB_STATE_CREATING": JobStatus.QUEUED,
    "JOB_STATE_VALIDATING": JobStatus.QUEUED,
    "JOB_STATE_PENDING": JobStatus.QUEUED,
    "JOB_STATE_RE_QUEUEING": JobStatus.QUEUED,
    "JOB_STATE_CREATING_INPUT_DATASET": JobStatus.QUEUED,
    "JOB_STATE_RUNNING": JobStatus.RUNNING,
    "JOB_STATE_WRITING_RESULTS": JobStatus.RUNNING,
    "JOB_STATE_CANCELLING": JobStatus.RUNNING,
    "JOB_STATE_COMPLETED": JobStatus.SUCCEEDED,
    "JOB_STATE_EARLY_STOPPED": JobStatus.SUCCEEDED,
    "JOB_STATE_FAILED": JobStatus.FAILED,
    "JOB_STATE_EXPIRED": JobStatus.FAILED,
    "JOB_STATE_CANCELLED": JobStatus.CANCELLED,
}
CAMEL = ConfigDict(alias_generator=AliasGenerator(validation_alias=to_camel), populate_by_name=True)


class Parameters(BaseModel):
    """Of both methods. Those that are not given stay Fireworks' own choice."""

    model_config = ConfigDict(extra="forbid")

    epochs: PositiveInt | None = None
    learning_rate: PositiveFloat | None = None
    lora_rank: PositiveInt | None = None
    batch_size_samples: PositiveInt | None = None
    max_context_length: PositiveInt | None = None
    learning_rate_warmup_steps: PositiveInt | None = None


PARAMETERS: dict[str, type[BaseModel]] = {"supervised": Parameters, "dpo": Parameters}


class Status(BaseModel):
    code: str | None = None
    message: str | None = None


class Progress(BaseModel):
    percent: float | None = None


class Job(BaseModel):
    model_config = CAMEL

    name: str = Field(pattern=r"^accounts/[\w-]+/\w+/[\w-]+$")
    state: str = "JOB_STATE_UNSPECIFIED"
    status: Status | None = None
    display_name: str = ""
    create_time: str = ""
    dataset: str | None = None
    evaluation_dataset: str | None = None
    output_model: str | None = None
    job_progress: Progress | None = None

    @property
    def id(self) -> str:
        """Collection and id, for ids alone do not say of which method a job is."""
        return self.name.split("/", 2)[2]

    @property
    def datasets(self) -> list[str]:
        return [name.rpartition("/")[2] for name in (self.dataset, self.evaluation_dataset) if name]


class Dataset(BaseModel):
    name: str
    state: str = "STATE_UNSPECIFIED"

    @property
    def id(self) -> str:
        return self.name.rpartition("/")[2]


class Page(BaseModel):
    model_config = CAMEL

    supervised_fine_tuning_jobs: list[Job] = []
    dpo_jobs: list[Job] = []
    datasets: list[Dataset] = []
    next_page_token: str | None = None


class FireworksProvider:
    """`account` None: it is missed when something is asked."""

    def __init__(self, rest: Rest, account: str | None) -> None:
        self._rest = rest
        self._account = account

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def submit(self, key: str, spec: TuningSpec, files: TrainingFiles) -> ProviderJob:
        submission = checked(WHO, key, spec, files, capabilities=CAPABILITIES, parameters=PARAMETERS)
        for upload in submission.uploads:
            if upload.size > MOST_BYTES:
                raise ProviderError(
                    f"{WHO} takes files of at most {MOST_BYTES:,} bytes in one request, {upload.path.name} has "
                    f"{upload.size:,}; take a sample of the dataset"
                )
        if (known := self._find(key)) is not None:
            require_same_mark(key, known.display_name, submission.mark())
            return _seen(known)
        return _seen(
            create_once(
                lambda: self._create(submission),
                lambda: self._find(key),
                lambda: self._delete(self._named(key)),
            )
        )

    def poll(self, job_id: str) -> ProviderJob:
        return _seen(self._job(job_id))

    def cancel(self, job_id: str) -> None:
        ask_to_stop(
            lambda: self._rest.ask(Anything, "POST", self._path(f"{job_id}:cancel"), json={}),
            lambda: _status(self._job(job_id)).is_terminal,
        )

    def collect(self, job_id: str) -> TunedModel:
        """Raises ProviderError: the job has no result."""
        job = self._job(job_id)
        if _status(job) is not JobStatus.SUCCEEDED:
            raise no_result(job_id, _seen(job))
        model = job.output_model or job.name.rpartition("/")[2]  # the job's id where none was named
        return TunedModel(served_model=model if "/" in model else f"accounts/{self._account}/models/{model}")

    def discard(self, job_id: str) -> None:
        job = self._known(job_id) or self._find(job_id)
        if job is not None:
            require_ended(job_id, _status(job))
        key = job_id if job is None else key_of_mark(job.display_name)
        named = [] if key is None else self._named(key)
        if job is None and not named:
            raise NotFoundError(f"{WHO} has no job {job_id}, and no dataset of one")
        self._delete({*named, *([] if job is None else job.datasets)})

    def known_jobs(self) -> Iterable[KnownJob]:
        jobs = [
            job
            for collection in COLLECTIONS.values()
            for page in self._pages(collection)
            for job in (*page.supervised_fine_tuning_jobs, *page.dpo_jobs)
        ]
        newest_first = sorted(jobs, key=lambda job: job.create_time, reverse=True)
        return [KnownJob(key, _seen(job)) for job in newest_first if (key := key_of_mark(job.display_name))]

    def _path(self, *resource: str) -> str:
        if self._account is None:
            raise ConfigurationError(f"{WHO} needs the account: set FIREWORKS_ACCOUNT_ID")
        return "/".join(("/v1/accounts", self._account, *resource))

    def _job(self, job_id: str) -> Job:
        if (job := self._known(job_id)) is None:
            raise NotFoundError(f"{WHO} has no tuning job {job_id}")
        return job

    def _known(self, job_id: str) -> Job | None:
        collection, _slash, id_ = job_id.partition("/")
        if collection not in COLLECTIONS.values() or not answers.is_id(id_):
            return None
        return self._rest.ask_for(Job, "GET", self._path(job_id))

    def _find(self, key: str) -> Job | None:
        found = (self._known(f"{collection}/{_job_name(key)}") for collection in COLLECTIONS.values())
        return next((job for job in found if job is not None), None)

    def _pages(self, collection: str) -> Iterator[Page]:
        token: str | None = ""
        while token is not None:
            asked = {"pageSize": PAGE} | ({"pageToken": token} if token else {})
            page = self._rest.ask(Page, "GET", self._path(collection), params=asked)
            yield page
            if token and page.next_page_token == token:
                raise answers.unavailable(WHO, f"the list of {collection} does not go on")
            token = page.next_page_token or None

    def _named(self, key: str) -> list[str]:
        """Datasets of the job with this key, or with this label of one."""
        listed = (one.id for page in self._pages(DATASETS) for one in page.datasets)
        return [dataset for dataset in listed if dataset.startswith(mark_prefix(key))]

    def _delete(self, datasets: Iterable[str]) -> None:
        for dataset in datasets:
            self._rest.delete(self._path(DATASETS, dataset))

    def _upload(self, upload: Upload) -> None:
        """A dataset that is there and not ready was left by an upload that broke off."""
        dataset = _dataset_name(upload)
        self._rest.make(
            Anything,
            "POST",
            self._path(DATASETS),
            json={"datasetId": dataset, "dataset": {"userUploaded": {}, "displayName": dataset}},
        )
        if self._is_ready(dataset):
            return
        self._rest.send(Anything, self._path(DATASETS, f"{dataset}:upload"), upload, {})
        if not self._is_ready(dataset):
            raise answers.unavailable(WHO, f"dataset {dataset} is still being checked there")

    def _is_ready(self, dataset: str) -> bool:
        return self._rest.ask(Dataset, "GET", self._path(DATASETS, dataset)).state == "READY"

    def _create(self, submission: Submission) -> Job:
        for upload in submission.uploads:
            self._upload(upload)
        spec = submission.spec
        given = {to_camel(name): value for name, value in submission.hyperparameters.items()}
        training = {"baseModel": spec.base_model, **given}
        asked: dict[str, Any] = {
            "dataset": self._resource(submission.train),
            "displayName": submission.mark(),
            **({"trainingConfig": training} if spec.method == "dpo" else training),
        }
        if submission.validation is not None and spec.method == "supervised":
            asked["evaluationDataset"] = self._resource(submission.validation)
        made = self._rest.make(
            Job,
            "POST",
            self._path(COLLECTIONS[spec.method]),
            params={ID_PARAMETERS[spec.method]: _job_name(submission.key)},
            json=asked,
        )
        return made or self._job(f"{COLLECTIONS[spec.method]}/{_job_name(submission.key)}")

    def _resource(self, upload: Upload) -> str:
        return self._path(DATASETS, _dataset_name(upload)).removeprefix("/v1/")


def build(settings: Settings) -> FireworksProvider:
    def key() -> Any:
        return api_key.required(settings.fireworks_api_key, WHO, "FIREWORKS_API_KEY")

    rest = Rest(WHO, lambda: settings.fireworks_base_url, key, settings.request_timeout_s)
    return FireworksProvider(rest, settings.fireworks_account_id)


def _job_name(key: str) -> str:
    return f"gt-{label(key)}"


def _dataset_name(upload: Upload) -> str:
    return upload.name.removesuffix(".jsonl")


def _status(job: Job) -> JobStatus:
    return STATES.get(job.state, JobStatus.RUNNING)


def _seen(job: Job) -> ProviderJob:
    status = _status(job)
    percent = None if job.job_progress is None else job.job_progress.percent
    told = None if percent is None else min(1.0, max(0.0, percent / 100))
    return ProviderJob(job.id, status, 1.0 if status is JobStatus.SUCCEEDED else told, _message(job))


def _message(job: Job) -> str:
    if job.state not in STATES:
        return f"{WHO} calls it {job.state!r}, which is not known here; it counts as running"
    status = job.status or Status()
    if _status(job) is JobStatus.FAILED:
        return answers.explained(status.code, status.message or "")
    return answers.quoted(status.message or "")
