"""The local provider: LoRA tuning by a worker process on this machine, of the packaged base model or one's own."""

import hashlib
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway_tuning import processes
from gateway_tuning.errors import (
    ConfigurationError,
    ConflictError,
    InputFileError,
    NotFoundError,
    ProviderError,
)
from gateway_tuning.storage.object_store import file_sha256
from gateway_tuning.training.job import (
    Checkpoint,
    JobStatus,
    ProviderJob,
    TrainingFiles,
    TunedModel,
    TuningSpec,
)
from gateway_tuning.training.local import worker
from gateway_tuning.training.local.data.examples import EXPORTS, read
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters, defaults_of, names_of
from gateway_tuning.training.local.job_folder import RESULT_FILES, JobFolder, LocalSpec, State
from gateway_tuning.training.local.model import own_base
from gateway_tuning.training.local.model.weights import BASE_MODEL
from gateway_tuning.training.provider import Capabilities

CAPABILITIES = Capabilities(
    exports=EXPORTS,
    base_models=None,  # the packaged one, and any folder that holds a Llama
    min_examples=10,
    is_local=True,
)

_workers: dict[Path, subprocess.Popen[bytes]] = {}
_workers_lock = threading.Lock()
"""Workers of this process. They live as long as it does, not as long as one provider object."""


@dataclass(frozen=True, slots=True)
class LlamaProvider:
    """Jobs are folders in `jobs_dir`, named by key; the converted base model is kept in `cache_dir`."""

    jobs_dir: Path
    cache_dir: Path

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def submit(self, key: str, spec: TuningSpec, files: TrainingFiles) -> ProviderJob:
        """Find or create the job. Its worker lives in this process's family; when that ends, submit resumes it.

        Raises:
            ProviderError: the spec or a file cannot be trained on; the message says what to change.
            ConflictError: the key already names a job with another spec or other data.
        """
        folder = self._folder(key)
        wanted = _checked(spec, files)
        known = folder.read_spec()
        if known is None:
            _create(folder, wanted, files)
        elif known != wanted:
            raise ConflictError(
                f"Job {key} exists with another spec or other data ({_differences(known, wanted)}); use another key"
            )
        if not folder.read_state().status.is_terminal:
            self._ensure_worker(folder)
        return self.poll(folder.path.name)

    def poll(self, job_id: str) -> ProviderJob:
        folder = self._existing(job_id)
        living = _is_alive(folder)  # before the state: a worker that ends in between leaves a terminal state
        state = folder.read_state()
        progress = state.step / state.of if state.of else None
        looks = tuple(Checkpoint(step, {"validation_loss": loss}) for step, loss in folder.read_looks())
        if state.status.is_terminal or living:
            return ProviderJob(job_id, state.status, progress, state.message, state.metrics, looks)
        return ProviderJob(job_id, JobStatus.QUEUED, progress, _waiting_message(state), state.metrics, looks)

    def cancel(self, job_id: str) -> None:
        """A job without a living worker is cancelled at once, a living one after the step in hand."""
        folder = self._existing(job_id)
        folder.cancel.touch()
        with folder.lock() as free:
            state = folder.read_state()
            if free and not state.status.is_terminal:
                folder.end(JobStatus.CANCELLED, f"cancelled after step {state.step}")

    def collect(self, job_id: str) -> TunedModel:
        folder = self._existing(job_id)
        state = folder.read_state()
        if state.status is not JobStatus.SUCCEEDED:
            raise ProviderError(
                f"Job {job_id} has no result: it is {state.status} ({state.message or 'no message'}). "
                "Collect it once poll says succeeded"
            )
        files = {name: folder.result / name for name in RESULT_FILES}
        return TunedModel(files=files, metrics=state.metrics)

    def discard(self, job_id: str) -> None:
        """An interrupted job ends as cancelled, for what it would be resumed with is gone."""
        folder = self._folder(job_id)
        if not folder.path.exists():
            raise NotFoundError(f"No local tuning job {job_id} in {self.jobs_dir}")
        if folder.read_spec() is None:  # cut off before it was a job
            shutil.rmtree(folder.path)
            return
        with folder.lock() as free:
            if not free:
                raise ConflictError(
                    f"Job {job_id} is being worked on; cancel it and discard it once poll says it ended"
                )
            if not folder.read_state().status.is_terminal:
                folder.end(JobStatus.CANCELLED, "cancelled: its data was discarded")
            folder.discard_data()

    def _folder(self, key: str) -> JobFolder:
        """A key that is no plain file name is replaced by its hash."""
        plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", key)
        return JobFolder(
            self.jobs_dir.resolve() / (key if plain else hashlib.sha256(key.encode()).hexdigest())
        )

    def _existing(self, job_id: str) -> JobFolder:
        folder = self._folder(job_id)
        if folder.read_spec() is None:
            raise NotFoundError(f"No local tuning job {job_id} in {self.jobs_dir}")
        return folder

    def _ensure_worker(self, folder: JobFolder) -> None:
        with _workers_lock:
            _forget_ended()
            if _is_alive(folder):
                return
            arguments = [str(folder.path), str(self.cache_dir.resolve())]
            child = processes.spawn(worker.MODULE, arguments, log=folder.log, env=worker.ENVIRONMENT)
            _workers[folder.path] = child


def _forget_ended() -> None:
    """Looking at an ended worker takes it out of the system's table: a service would collect one a job."""
    for path, child in list(_workers.items()):
        if child.poll() is not None:
            del _workers[path]


def _is_alive(folder: JobFolder) -> bool:
    """A worker that just started has no lock yet, so its process counts as well."""
    child = _workers.get(folder.path)
    return (child is not None and child.poll() is None) or folder.is_worked_on()


def _waiting_message(state: State) -> str:
    if state.status is JobStatus.QUEUED:
        return "waiting for its worker; submit again to start one"
    return f"interrupted at step {state.step}; submit again to resume"


def _checked(spec: TuningSpec, files: TrainingFiles) -> LocalSpec:
    export_format = CAPABILITIES.export_of(spec.method)
    base_model, base_sha256 = _base(spec.base_model)
    hyperparameters = _hyperparameters(spec)
    try:
        examples = sum(line is not None for line in read(spec.method, files.train))
        if files.validation is not None:
            read(spec.method, files.validation)
    except InputFileError as error:
        raise ProviderError(f"{error}. Export the dataset again in the format {export_format}") from error
    if examples < CAPABILITIES.min_examples:
        raise ProviderError(
            f"{files.train.name} holds {examples} examples without tools, the local provider needs at least "
            f"{CAPABILITIES.min_examples}; collect more feedback first"
        )
    return LocalSpec(
        base_model=base_model,
        method=spec.method,
        hyperparameters=hyperparameters,
        seed=spec.seed,
        dataset_id=spec.dataset_id,
        train_sha256=file_sha256(files.train),
        validation_sha256=file_sha256(files.validation) if files.validation else None,
        base_sha256=base_sha256,
    )


def _base(wanted: str) -> tuple[str, str | None]:
    """Its name and None, or the whole path of an own one and its checksum."""
    if wanted == BASE_MODEL:
        return wanted, None
    folder = Path(wanted).expanduser()
    if not folder.is_dir():
        raise ProviderError(
            f"The local provider tunes {BASE_MODEL}, or a Llama in a folder of this machine; {wanted} is neither"
        )
    try:
        return str(folder.resolve()), own_base.checked(folder.resolve())
    except ConfigurationError as error:
        raise ProviderError(f"The local provider cannot tune this base model: {error}") from error


def _hyperparameters(spec: TuningSpec) -> dict[str, Any]:
    known = names_of(spec.method)
    foreign = sorted(spec.hyperparameters.keys() - set(known))
    problems = "; ".join(f"{name}: not known to the method {spec.method}" for name in foreign)
    if not foreign:
        try:
            chosen = LoraHyperparameters.model_validate(defaults_of(spec.method) | spec.hyperparameters)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
            )
        else:
            return chosen.model_dump(include=set(known))
    raise ProviderError(f"Hyperparameters of the local provider: {problems}. Known are: {', '.join(known)}")


def _create(folder: JobFolder, spec: LocalSpec, files: TrainingFiles) -> None:
    """The spec comes last: a folder without it is no job, and is filled again."""
    folder.path.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(files.train, folder.train)
    if files.validation is not None:
        shutil.copyfile(files.validation, folder.validation)
    folder.write_spec(spec)


def _differences(known: LocalSpec, wanted: LocalSpec) -> str:
    names = LocalSpec.__slots__
    return ", ".join(str(name) for name in names if getattr(known, name) != getattr(wanted, name))
