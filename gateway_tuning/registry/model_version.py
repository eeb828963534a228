"""What the registry knows of a model version."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway_tuning.registry.code_version import CodeVersion
from gateway_tuning.registry.statuses import ModelStatus

STABLE, CANDIDATE = "stable", "candidate"

MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # it becomes part of object keys and addresses


@dataclass(frozen=True, slots=True)
class StoredFile:
    key: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """`dataset_id` and `job_key` are None on a base model that was not trained here.

    `served_model` is the provider's name for it; None when its files must be served. `holds_erased_since` is set
    once a person whose feedback it was trained on was erased. `code` is what trained it, `parents` the versions that
    it was trained from. `revision` rises with every change of the status.
    """

    id: str
    tenant: str = field(kw_only=True)
    model: str
    base_model: str
    provider: str
    created_at: datetime
    dataset_id: str | None = None
    job_key: str | None = None
    served_model: str | None = None
    files: dict[str, StoredFile] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    holds_erased_since: datetime | None = None
    code: CodeVersion | None = None
    parents: tuple[str, ...] = ()
    status: ModelStatus = ModelStatus.AVAILABLE
    revision: int = 1

    @property
    def has_something_to_serve(self) -> bool:
        return self.job_key is None or bool(self.files) or self.served_model is not None


def base_version_id(model: str, base_model: str) -> str:
    return f"{model}@{base_model}"


def tuned_version_id(model: str, job_key: str) -> str:
    return f"{model}@{job_key[:12]}"
