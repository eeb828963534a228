"""Takes every job from its files to its model, whatever was killed on the way.

What a job is and how it ended stands in the stores; how far its training is, in the provider's own folder. A look at
both says what to do next, so that a service that starts again needs to remember nothing.
"""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway_tuning.errors import ConflictError, GatewayTuningError, NotFoundError
from gateway_tuning.local_service.problems import log_defect
from gateway_tuning.local_service.store.events import Event, EventLog, Level
from gateway_tuning.local_service.store.files import FileStore
from gateway_tuning.local_service.store.jobs import Job, JobError, JobStore
from gateway_tuning.local_service.store.models import ModelStore
from gateway_tuning.local_service.training import checkpoints, ending, progress
from gateway_tuning.local_service.training.hyperparameters import for_trainer, resolved
from gateway_tuning.local_service.training.preparing import Prepared, prepare
from gateway_tuning.training.job import JobStatus, ProviderJob, TrainingFiles, TuningSpec
from gateway_tuning.training.local.model.weights import BASE_MODEL
from gateway_tuning.training.provider import Provider

_TICK_S = 0.2
_PAUSE_S = 2.0
_STARTS_WITHOUT_PROGRESS = 3


@dataclass(slots=True)
class Runner:
    """`tick` is one look at all jobs; `start` looks again and again in a thread of its own."""

    files: FileStore
    jobs: JobStore
    events: EventLog
    models: ModelStore
    provider: Provider
    training_dir: Path
    base_config: Callable[[], Path]
    parallel: int
    now: Callable[[], float]
    _starts: dict[str, tuple[float | None, int]] = field(default_factory=dict)
    _awake: threading.Event = field(default_factory=threading.Event)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="local-jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Workers go on until this process ends, then leave a checkpoint."""
        self._stopping.set()
        self._awake.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """There is something new to do."""
        self._awake.set()

    def tell(self, job_id: str, key: str, message: str, level: Level = "info") -> None:
        self.events.add(job_id, Event(key=key, created_at=self.now(), level=level, message=message))

    def cancel(self, job_id: str) -> bool:
        """False: it had ended. What its worker still does comes to nothing and is cleared away."""
        if not self.jobs.change(job_id, status="cancelled", finished_at=self.now()):
            return False
        self._tell_end(job_id)
        self.wake()
        return True

    def tick(self) -> bool:
        """True: there is more to do."""
        jobs = sorted(self.jobs.newest_first(), key=lambda job: (job.created_at, job.id))
        unfinished = [job for job in jobs if not job.has_ended]
        places = self.parallel - sum(job.status == "running" for job in unfinished)
        for job in unfinished:
            if job.status == "queued":
                if places <= 0:
                    continue
                places -= 1
            self._advance(job)
        left = [job for job in jobs if job.has_ended and self._leaves(job).any()]
        for job in left:
            self._clear(job)
        return bool(unfinished or left)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()
            try:
                pause = _TICK_S if self.tick() else None
            except Exception as error:  # noqa: BLE001 - a full disk, for one, where the record should be written
                log_defect(error)
                pause = _PAUSE_S
            self._awake.wait(pause)

    def _advance(self, job: Job) -> None:
        try:
            if job.status == "validating_files":
                self._validate(job)
            elif job.status == "queued":
                self._submit(job)
            else:
                self._watch(job)
        except OSError as error:  # a full disk, for one: the next look tries again
            log_defect(error)
        except GatewayTuningError as error:
            log_defect(error)
            self._fail(job, JobError(code="training_failed", message=str(error)))
        except Exception as error:  # noqa: BLE001 - one broken job must not stop the others
            log_defect(error)
            self._fail(job, JobError(code="server_error", message="The service failed; its log says where"))

    def _validate(self, job: Job) -> None:
        self.tell(job.id, "validating", f"Validating training file: {job.training_file}")
        found = self._prepared(job)
        if isinstance(found, JobError):
            self._drop_data(job)
            self._fail(job, found)
            return
        self.tell(job.id, "validated", "Files validated, moving job to queued state")
        self.jobs.change(job.id, status="queued", hyperparameters=resolved(job.hyperparameters))

    def _prepared(self, job: Job) -> Prepared | JobError:
        param = "training_file"
        try:
            train, validation = self.files.content(job.training_file), None
            if job.validation_file is not None:
                param = "validation_file"
                validation = self.files.content(job.validation_file)
        except NotFoundError as error:
            return JobError(code="file_not_found", message=str(error), param=param)
        export = self.provider.capabilities.export_of(job.method)
        return prepare(job.method, train, validation, export=export, folder=self._data(job))

    def _submit(self, job: Job) -> None:
        """Creates the training, or resumes it."""
        train, validation = self._data(job) / "train.jsonl", self._data(job) / "validation.jsonl"
        with train.open("rb") as lines:
            examples = sum(1 for _ in lines)
        spec = TuningSpec(
            provider="llama",
            base_model=BASE_MODEL,
            dataset_id=job.training_file,
            method=job.method,
            hyperparameters=for_trainer(job.method, job.hyperparameters, examples),
            seed=job.seed,
        )
        files = TrainingFiles(train, validation if job.validation_file else None)
        self.provider.submit(job.id, spec, files)
        self.tell(job.id, "started", "Fine-tuning job started")
        self.jobs.change(job.id, status="running")

    def _watch(self, job: Job) -> None:
        try:
            seen = self.provider.poll(job.id)
        except NotFoundError:  # killed between the two: what the record says comes before what is done
            self._submit(job)
            return
        self._note_progress(job)
        if seen.status is JobStatus.QUEUED and seen.message:  # without a word its worker is only starting
            self._resume(job, seen)
        elif seen.status.is_terminal:
            self._end(job, seen)

    def _resume(self, job: Job, seen: ProviderJob) -> None:
        """A worker that dies again and again at the same place will not live the next time."""
        progress_then, starts = self._starts.get(job.id, (None, 0))
        starts = starts + 1 if progress_then == seen.progress else 1
        if starts > _STARTS_WITHOUT_PROGRESS:
            message = f"The training's process died {starts} times ({seen.message}); memory may be short"
            self._fail(job, JobError(code="server_error", message=message))
            return
        self._starts[job.id] = (seen.progress, starts)
        self._submit(job)

    def _note_progress(self, job: Job) -> None:
        training = self.training_dir / job.id
        for event in progress.new_events(training, progress.seen(self.events.of(job.id)), self.now()):
            self.events.add(job.id, event)
        last = progress.total_steps(self.events.of(job.id))
        for step in checkpoints.steps_in(training):
            if step != last:  # that one is the job's model
                ending.keep_checkpoint(self.models, job, training, step, self.base_config, now=self.now())

    def _end(self, job: Job, seen: ProviderJob) -> None:
        try:
            self.provider.discard(job.id)
        except ConflictError:
            return  # the worker has told the end and is about to go
        self._drop_data(job)  # before the end is told: then nothing holds the data but the uploaded files
        if seen.status is JobStatus.FAILED:
            message = seen.message.partition(" (log: ")[0]
            self._fail(job, JobError(code="training_failed", message=message))
        elif seen.status is JobStatus.CANCELLED:
            self.cancel(job.id)
        else:
            self._succeed(job)

    def _succeed(self, job: Job) -> None:
        result = self.provider.collect(job.id)
        now = self.now()
        name = ending.keep_model(self.models, job, result, now=now)
        results = ending.keep_results(self.files, job, self.events.of(job.id), now=now)
        if left_out := int(result.metrics.get("examples_left_out", 0)):
            message = (
                f"{left_out} examples were left out: too long for the local model, or with control words"
            )
            self.tell(job.id, "left_out", message, "warn")
        self.tell(job.id, "model", f"New fine-tuned model created: {name}")
        tokens = result.metrics.get("tokens")
        ended = self.jobs.change(
            job.id,
            status="succeeded",
            finished_at=now,
            fine_tuned_model=name,
            result_files=(results.id,),
            trained_tokens=None if tokens is None else int(tokens),
        )
        if not ended:  # cancelled in this very moment
            self.models.delete(name)
            self.files.delete(results.id)
            return
        self._tell_end(job.id)

    def _fail(self, job: Job, error: JobError) -> None:
        if self.jobs.change(job.id, status="failed", finished_at=self.now(), error=error):
            self._tell_end(job.id)

    def _tell_end(self, job_id: str) -> None:
        job = self.jobs.get(job_id)
        if job.error is not None:
            self.tell(job_id, "ended", job.error.message, "error")
        elif job.status == "cancelled":
            self.tell(job_id, "ended", "The job was cancelled")
        else:
            self.tell(job_id, "ended", "The job has successfully completed")

    def _data(self, job: Job) -> Path:
        return self.jobs.folder(job.id) / "data"

    def _drop_data(self, job: Job) -> None:
        _remove(self._data(job))

    def _leaves(self, job: Job) -> "_Left":
        return _Left(self._data(job), self.training_dir / job.id)

    def _clear(self, job: Job) -> None:
        """What an ended job leaves behind, as soon as its worker has gone."""
        try:
            if self._leaves(job).training.exists():
                if not self.provider.poll(job.id).status.is_terminal:
                    self.provider.cancel(job.id)
                self.provider.discard(job.id)
        except ConflictError:
            return
        except NotFoundError:  # a submission that was cut off
            pass
        except OSError as error:
            log_defect(error)
            return
        self._tell_end(job.id)  # a kill may have come between the end and its event
        if job.status != "succeeded":
            ending.drop_models(self.models, job)
        self._leaves(job).remove()
        self._starts.pop(job.id, None)
        self.events.forget(job.id)


@dataclass(frozen=True, slots=True)
class _Left:
    data: Path
    training: Path

    def any(self) -> bool:
        return self.data.exists() or self.training.exists()

    def remove(self) -> None:
        for folder in (self.data, self.training):
            _remove(folder)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
