"""Tuned models and the checkpoints on their way: `models/NAME/adapter.gguf` and, written after it, `model.json`."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from gateway_tuning.errors import NotFoundError
from gateway_tuning.local_service.store.jobs import ORGANIZATION, Job
from gateway_tuning.local_service.store.whole_files import derived_id, write_whole

_SHORT_ID = 8
_FOLDER = "model-"


class TunedModel(BaseModel):
    """`step` is that of a checkpoint, None for the model that a job ended with."""

    model_config = ConfigDict(frozen=True)

    name: str
    job_id: str
    created_at: float
    step: int | None = None

    def wire(self) -> dict[str, Any]:
        created = int(self.created_at)
        return {"id": self.name, "object": "model", "created": created, "owned_by": ORGANIZATION}


def model_name(job: Job) -> str:
    return f"ft:{job.model}:{job.suffix}:{job.id.rpartition('-')[2][:_SHORT_ID]}"


def checkpoint_name(job: Job, step: int) -> str:
    return f"{model_name(job)}:ckpt-step-{step}"


@dataclass(frozen=True, slots=True)
class ModelStore:
    root: Path

    def add(self, model: TunedModel, adapter: Path) -> None:
        """A copy of the adapter is kept. The same model again replaces it."""
        folder = self._folder(model.name)
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / "adapter.partial"
        shutil.copyfile(adapter, partial)
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(folder / "adapter.gguf")
        write_whole(folder / "model.json", model.model_dump_json().encode())

    def get(self, name: str) -> TunedModel:
        """Raises NotFoundError."""
        try:
            return TunedModel.model_validate_json((self._folder(name) / "model.json").read_bytes())
        except FileNotFoundError:
            raise NotFoundError(
                f"The model `{name[:200]}` does not exist; GET /v1/models lists those that do"
            ) from None

    def adapter(self, name: str) -> Path:
        """Raises NotFoundError."""
        return self._folder(self.get(name).name) / "adapter.gguf"

    def oldest_first(self) -> list[TunedModel]:
        """Checkpoints too."""
        found = []
        for path in self.root.glob("*/model.json"):
            try:
                found.append(TunedModel.model_validate_json(path.read_bytes()))
            except FileNotFoundError:  # deleted meanwhile
                continue
        return sorted(found, key=lambda model: (model.created_at, model.name))

    def delete(self, name: str) -> None:
        """With a job's model go its checkpoints. Raises NotFoundError."""
        model = self.get(name)
        for other in self.oldest_first():
            if other.name == name or (model.step is None and other.job_id == model.job_id):
                self.drop(other.name)

    def drop(self, name: str) -> None:
        folder = self._folder(name)
        (folder / "model.json").unlink(missing_ok=True)
        (folder / "adapter.gguf").unlink(missing_ok=True)  # whoever hears of a deletion may rely on it
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what was cut off while it was kept or dropped: no name leads there. Only while nobody writes."""
        for folder in self.root.glob(f"{_FOLDER}*"):
            if not (folder / "model.json").exists():
                shutil.rmtree(folder)

    def _folder(self, name: str) -> Path:
        """A name comes from outside and is no path."""
        return self.root / derived_id(_FOLDER, name)
