"""Jobs as they were asked for and as they ended: `jobs/ID/job.json`, all of them in memory as well."""

import threading
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gateway_tuning.errors import NotFoundError
from gateway_tuning.local_service.store.whole_files import write_whole

PREFIX = "ftjob-"
ORGANIZATION = "org-local"
ENDED = frozenset({"succeeded", "failed", "cancelled"})

Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]


class JobError(BaseModel):
    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    param: str | None = None


class Job(BaseModel):
    """`hyperparameters` are as asked for until the files are validated; then every `auto` is a number."""

    model_config = ConfigDict(frozen=True)

    id: str
    created_at: float
    model: str
    method: str
    hyperparameters: dict[str, float | int | str]
    seed: int
    training_file: str
    validation_file: str | None = None
    suffix: str = ""
    metadata: dict[str, str] | None = None
    status: Status = "validating_files"
    error: JobError | None = None
    finished_at: float | None = None
    fine_tuned_model: str | None = None
    result_files: tuple[str, ...] = ()
    trained_tokens: int | None = None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    def wire(self) -> dict[str, Any]:
        kept = self.model_dump(exclude={"suffix", "method"})
        return {
            "object": "fine_tuning.job",
            **kept,
            # As at OpenAI: of other methods they stand in `method` alone.
            "hyperparameters": self.hyperparameters if self.method == "supervised" else {},
            "created_at": int(self.created_at),
            "finished_at": None if self.finished_at is None else int(self.finished_at),
            "method": {"type": self.method, self.method: {"hyperparameters": self.hyperparameters}},
            "user_provided_suffix": self.suffix or None,
            "organization_id": ORGANIZATION,
            "estimated_finish": None,
            "integrations": [],
        }


class JobStore:
    """An ended job never changes: whoever ends it first decides how."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        for path in root.glob("*/job.json"):
            job = Job.model_validate_json(path.read_bytes())
            self._jobs[job.id] = job

    def add(self, job: Job) -> None:
        with self._lock:
            self._write(job)

    def get(self, id_: str) -> Job:
        """Raises NotFoundError."""
        try:
            return self._jobs[id_]
        except KeyError:
            raise NotFoundError(f"Could not find fine tune: {id_[:64]}") from None

    def newest_first(self) -> list[Job]:
        with self._lock:
            jobs = list(self._jobs.values())
        return sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)

    def change(self, id_: str, **fields: Any) -> bool:
        """False, and nothing is changed, where the job has ended."""
        with self._lock:
            job = self.get(id_)
            if job.has_ended:
                return False
            self._write(Job.model_validate(job.model_dump() | fields))
            return True

    def folder(self, id_: str) -> Path:
        return self._root / id_

    def _write(self, job: Job) -> None:
        write_whole(self.folder(job.id) / "job.json", job.model_dump_json().encode())
        self._jobs[job.id] = job
