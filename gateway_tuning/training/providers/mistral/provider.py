"""Mistral: supervised tuning by its own SDK. Jobs are known again by the suffix of their model's name.

Mistral keeps no metadata of ours, so what a job was made of stands in the names of its files.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, TypeVar

from gateway_tuning.datasets.splits import TRAIN
from gateway_tuning.errors import ConflictError, NotFoundError, ProviderError, ProviderUnavailableError
from gateway_tuning.training.job import (
    JobStatus,
    ProviderJob,
    TrainingFiles,
    TunedModel,
    TuningSpec,
)
from gateway_tuning.training.jobs import job_key
from gateway_tuning.training.provider import Capabilities, KnownJob
from gateway_tuning.training.providers import answers
from gateway_tuning.training.providers.mistral.seen import seen, status_of
from gateway_tuning.training.providers.mistral.wire import (
    PAGE,
    WHO,
    Deleted,
    File,
    Files,
    Forecast,
    Job,
    Jobs,
    MistralAccount,
    Supervised,
    ask,
)
from gateway_tuning.training.providers.submission import (
    Submission,
    checked,
    create_once,
    label,
    mark_prefix,
    no_result,
    require_ended,
    require_same_mark,
)

Listed = TypeVar("Listed", File, Job)

CAPABILITIES = Capabilities(exports={"supervised": "mistral"}, base_models=None, min_examples=1)

# 18 characters, which every service with suffixes takes; 16 of a key's are as good as all of them.
_OUR_SUFFIX = re.compile(r"gt([a-z0-9]{16})")
_OUR_FILE = re.compile(r"(gt-[a-z0-9]+-[0-9a-f]{8}-[0-9a-f]{8})-(?:train|validation)\.jsonl")
_JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def suffix(key: str) -> str:
    return f"gt{label(key)[:16]}"


@dataclass(frozen=True, slots=True)
class MistralProvider:
    """A job's id is Mistral's own."""

    account: MistralAccount

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def submit(self, key: str, spec: TuningSpec, files: TrainingFiles) -> ProviderJob:
        submission = _checked(key, spec, files)
        job = self._find(key)
        if job is None:
            job = self._create(submission)
        else:
            self._require_same(job, submission)
        if job.status == "VALIDATED" and not job.auto_start:
            ask(Job, partial(self._jobs.start, job_id=job.id))
        return self.poll(job.id)

    def poll(self, job_id: str) -> ProviderJob:
        return seen(self._job(job_id))

    def cancel(self, job_id: str) -> None:
        job = self._job(job_id)
        if status_of(job).is_terminal or job.status == "CANCELLATION_REQUESTED":
            return
        try:
            ask(Job, partial(self._jobs.cancel, job_id=job.id))
        except ProviderUnavailableError:
            raise
        except ProviderError:  # it may have ended meanwhile
            if not status_of(self._job(job.id)).is_terminal:
                raise

    def collect(self, job_id: str) -> TunedModel:
        job = self._job(job_id)
        result = seen(job)
        if result.status is not JobStatus.SUCCEEDED or not job.fine_tuned_model:
            raise no_result(job_id, result)
        return TunedModel(served_model=job.fine_tuned_model, metrics=result.metrics)

    def discard(self, job_id: str) -> None:
        try:
            job = self._job(job_id)
        except NotFoundError:
            left = self._files(mark_prefix(job_id))
            if not left:
                raise
            return self._delete(file.id for file in left)
        require_ended(job_id, status_of(job))
        given = {*job.training_files, *job.validation_files}
        # And what arrived twice, or before its spec was changed.
        if ours := _OUR_SUFFIX.fullmatch(job.suffix or ""):
            given |= {file.id for file in self._files(f"gt-{ours.group(1)}")}
        return self._delete(given)

    def known_jobs(self) -> Iterator[KnownJob]:
        for job in sorted(self._listed(), key=lambda one: -one.created_at):
            if ours := _OUR_SUFFIX.fullmatch(job.suffix or ""):
                yield KnownJob(ours.group(1), seen(job))

    def dry_run(self, spec: TuningSpec, files: TrainingFiles) -> Forecast:
        """As Mistral reckons the job up, without beginning it. The files are there as long as this takes.

        Raises:
            ProviderError: it would refuse the job; and what `submit` raises.
        """
        submission = _checked(f"dry run of {job_key(spec)}", spec, files)
        client = self.account.client(dry_run=True)
        try:
            told = ask(Forecast, lambda: self._ordered(client, submission, auto_start=False))
            if told.id is not None:  # it knows dry runs no more, and made a job that waits to be started
                job = ask(Job, partial(self._jobs.cancel, job_id=told.id))
                told = Forecast.model_validate(job.metadata)
        finally:
            self._delete(file.id for file in self._files(mark_prefix(submission.key)))
        return told

    @property
    def _jobs(self) -> Any:
        return self.account.client().fine_tuning.jobs

    def _create(self, submission: Submission) -> Job:
        """Mistral knows no idempotency key: who does not learn whether the job was made looks for it."""
        key, base_model = submission.key, submission.spec.base_model
        try:
            return create_once(
                lambda: ask(Job, lambda: self._ordered(self.account.client(), submission, auto_start=True)),
                lambda: self._find(key),
                lambda: self._delete(file.id for file in self._files(mark_prefix(key))),
            )
        except ProviderUnavailableError:
            raise
        except (ProviderError, NotFoundError) as refusal:
            raise ProviderError(f"{refusal} (base model {base_model})") from refusal

    def _ordered(self, client: Any, submission: Submission, *, auto_start: bool) -> Any:
        known = {file.filename: file for file in self._files(mark_prefix(submission.key))}
        ids = {}
        for upload in submission.uploads:
            name = f"{submission.mark()}-{upload.split}.jsonl"
            file = known.get(name)
            if file is None or file.size not in {None, upload.size}:
                with upload.path.open("rb") as content:
                    file = self._uploaded(name, content)
            ids[upload.split] = file.id
        train = ids.pop(TRAIN)
        return client.fine_tuning.jobs.create(
            model=submission.spec.base_model,
            training_files=[{"file_id": train, "weight": 1}],
            validation_files=list(ids.values()),
            hyperparameters=submission.hyperparameters,
            suffix=suffix(submission.key),
            auto_start=auto_start,
            job_type="completion",
        )

    def _uploaded(self, name: str, content: Any) -> File:
        file = {"file_name": name, "content": content}
        return ask(File, partial(self._store.upload, file=file, purpose="fine-tune"))

    def _require_same(self, job: Job, submission: Submission) -> None:
        """By the names of its files. Once they were discarded, the base model is all that can be compared."""
        if job.model != submission.spec.base_model:
            raise ConflictError(
                f"Job {submission.key} exists at {WHO} with another spec (base_model); use another key"
            )
        try:
            file_id = job.training_files[0]
            name = ask(File, partial(self._store.retrieve, file_id=file_id)).filename
        except (IndexError, NotFoundError):
            return
        if ours := _OUR_FILE.fullmatch(name):
            require_same_mark(submission.key, ours.group(1), submission.mark())

    def _job(self, job_id: str) -> Job:
        """By Mistral's id or by our key. Raises NotFoundError."""
        if not _JOB_ID.fullmatch(job_id):
            found = self._find(job_id)
            if found is None:
                raise NotFoundError(f"No tuning job {job_id} at {WHO}")
            job_id = found.id
        return ask(Job, partial(self._jobs.get, job_id=job_id))

    def _find(self, key: str) -> Job | None:
        """The oldest, should there ever be two."""
        name = suffix(key)
        found = [job for job in self._listed(suffix=name) if job.suffix == name]
        return min(found, key=lambda job: job.created_at, default=None)

    def _listed(self, **only: str) -> Iterator[Job]:
        return _all(lambda page: ask(Jobs, partial(self._jobs.list, page=page, page_size=PAGE, **only)).data)

    def _files(self, prefix: str) -> list[File]:
        asked = {"page_size": PAGE, "search": prefix, "purpose": "fine-tune"}
        files = _all(lambda page: ask(Files, partial(self._store.list, page=page, **asked)).data)
        return [file for file in files if file.filename.startswith(prefix)]

    def _delete(self, file_ids: Iterable[str]) -> None:
        for file_id in file_ids:
            with suppress(NotFoundError):
                ask(Deleted, partial(self._store.delete, file_id=file_id))

    @property
    def _store(self) -> Any:
        return self.account.client().files


def _all(page_of: Callable[[int], list[Listed]]) -> Iterator[Listed]:
    """Of all pages; what moved on to the next one meanwhile comes twice.

    Raises:
        ProviderUnavailableError: the pages begin again, as at a server that does not know them.
    """
    known: set[str] = set()
    for page in count():
        some = page_of(page)
        yield from some
        if len(some) < PAGE:
            return
        ids = {one.id for one in some}
        if ids <= known:
            raise answers.unavailable(WHO, "its list has no end")
        known |= ids


def dry_run(spec: TuningSpec, files: TrainingFiles, *, account: MistralAccount) -> Forecast:
    """See `MistralProvider.dry_run`."""
    return MistralProvider(account).dry_run(spec, files)


def _checked(key: str, spec: TuningSpec, files: TrainingFiles) -> Submission:
    parameters = {"supervised": Supervised}
    return checked(WHO, key, spec, files, capabilities=CAPABILITIES, parameters=parameters)
