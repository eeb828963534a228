"""Words of a tuning job that all providers share."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


@dataclass(frozen=True, slots=True)
class TuningSpec:
    """What is to be trained. Equal specs give equal job keys, so nothing is trained twice."""

    provider: str
    base_model: str
    dataset_id: str
    method: str = "supervised"
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TrainingFiles:
    """Local copies of the dataset's exports in the provider's own format."""

    train: Path
    validation: Path | None = None


def exports_folder(cache: Path, dataset_id: str) -> Path:
    """Where a dataset's exports lie on this machine while a job reads them."""
    return cache / "exports" / dataset_id


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on the way: `metrics` such as train_loss and validation_loss, `served_model` where it can be asked."""

    step: int
    metrics: dict[str, float] = field(default_factory=dict)
    served_model: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderJob:
    """A provider's job as last seen. `progress` is in [0, 1] or None when the provider does not say.

    A status that is not known counts as running, and `message` says what the provider called it. `checkpoints` are in
    the order of their steps.
    """

    id: str
    status: JobStatus
    progress: float | None = None
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    checkpoints: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class TunedModel:
    """What a finished job leaves: files to keep, or the name under which the provider serves it."""

    files: dict[str, Path] = field(default_factory=dict)
    served_model: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
