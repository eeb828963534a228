"""A training provider from outside: it copies its training file and calls that a model."""

import shutil
from pathlib import Path

from gateway_tuning.errors import NotFoundError, ProviderError
from gateway_tuning.settings import Settings
from gateway_tuning.training.job import JobStatus, ProviderJob, TrainingFiles, TunedModel, TuningSpec
from gateway_tuning.training.provider import Capabilities


class EchoProvider:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities({"supervised": "chat"}, None, 1)

    def submit(self, key: str, spec: TuningSpec, files: TrainingFiles) -> ProviderJob:
        del spec
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files.train, self._folder / key)
        return self.poll(key)

    def poll(self, job_id: str) -> ProviderJob:
        done = (self._folder / job_id).exists()
        return ProviderJob(job_id, JobStatus.SUCCEEDED if done else JobStatus.QUEUED)

    def cancel(self, job_id: str) -> None:
        (self._folder / job_id).unlink(missing_ok=True)

    def discard(self, job_id: str) -> None:
        """Its model is its training file, so the model goes empty; the job stays known."""
        if not (self._folder / job_id).exists():
            raise NotFoundError(f"No job {job_id}")
        (self._folder / job_id).write_text("")

    def collect(self, job_id: str) -> TunedModel:
        if not (self._folder / job_id).exists():
            raise ProviderError(f"No job {job_id}")
        return TunedModel(files={"echo.jsonl": self._folder / job_id})


def build(settings: Settings) -> EchoProvider:
    return EchoProvider(settings.home / "echo")
