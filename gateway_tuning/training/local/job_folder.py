"""The working folder of a local tuning job: what both its worker and the provider read and write.

spec.json        what to train; written once
train.jsonl      copies of the exports, so that a resumed job trains on the same lines
validation.jsonl
lock             held by the living worker, freed by the kernel when it dies
cancel           its presence asks the worker to stop for good
progress.jsonl   one line a step and an event
status.json      the latest state, replaced whole
checkpoints/     see learning/checkpoints.py
reference.json   see learning/reference.py
result/          the adapter in both forms
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway_tuning.training.job import JobStatus

RESULT_FILES = ("adapter_model.safetensors", "adapter_config.json", "adapter.gguf")


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """Contents of `spec.json`. `train_sha256` and `validation_sha256` name the exports by content.

    `base_sha256` does so for a base model of the user's own; None: the packaged one.
    """

    base_model: str
    method: str
    hyperparameters: dict[str, Any]
    seed: int
    dataset_id: str
    train_sha256: str
    validation_sha256: str | None
    base_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Contents of `status.json`. `of` is 0 until the worker knows it."""

    status: JobStatus = JobStatus.QUEUED
    step: int = 0
    of: int = 0
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobFolder:
    path: Path

    @property
    def train(self) -> Path:
        return self.path / "train.jsonl"

    @property
    def validation(self) -> Path:
        return self.path / "validation.jsonl"

    @property
    def cancel(self) -> Path:
        return self.path / "cancel"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def reference(self) -> Path:
        return self.path / "reference.json"

    @property
    def result(self) -> Path:
        return self.path / "result"

    @property
    def log(self) -> Path:
        return self.path / "worker.log"

    def write_spec(self, spec: LocalSpec) -> None:
        _write_whole(self.path / "spec.json", asdict(spec))

    def read_spec(self) -> LocalSpec | None:
        """None: no such job, or its submission was cut off before anything started."""
        path = self.path / "spec.json"
        return LocalSpec(**json.loads(path.read_text())) if path.exists() else None

    def write_state(self, state: State) -> None:
        _write_whole(self.path / "status.json", asdict(state))

    def read_state(self) -> State:
        path = self.path / "status.json"
        if not path.exists():
            return State()
        fields = json.loads(path.read_text())
        return State(**{**fields, "status": JobStatus(fields["status"])})

    def log_event(self, event: str, **details: Any) -> None:
        """Append one line to `progress.jsonl`."""
        with (self.path / "progress.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"event": event, **details}) + "\n")

    def read_looks(self) -> list[tuple[int, float]]:
        """Steps with the validation loss there, in order. Of a step that was done again the last one counts."""
        path = self.path / "progress.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        looks = {}
        for line in lines:
            if '"validation_loss"' not in line:
                continue
            try:
                event = json.loads(line)
            except ValueError:  # still being written, or cut off by a kill, with the next one behind it
                continue
            looks[event["step"]] = event["validation_loss"]
        return sorted(looks.items())

    def end(self, status: JobStatus, message: str) -> None:
        """The event first, the state last: who reads a terminal state finds everything else in place."""
        event = "finished" if status is JobStatus.SUCCEEDED else str(status)
        self.log_event(event, message=message)
        self.write_state(replace(self.read_state(), status=status, message=message))

    def discard_data(self) -> None:
        """The exports, what was computed of them, and a log that may quote them. The result stays."""
        for path in (self.train, self.validation, self.reference, self.log):
            path.unlink(missing_ok=True)
        if self.checkpoints.exists():
            shutil.rmtree(self.checkpoints)

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Try to become the only one who works on the job; False when another does. Ends with the process."""
        with self._locked(fcntl.LOCK_EX) as mine:
            yield mine

    def is_worked_on(self) -> bool:
        with self._locked(
            fcntl.LOCK_SH
        ) as free:  # shared: two who look do not mistake each other for a worker
            return not free

    @contextmanager
    def _locked(self, kind: int) -> Iterator[bool]:
        with (self.path / "lock").open("a") as stream:
            try:
                fcntl.flock(stream, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def _write_whole(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(path)
