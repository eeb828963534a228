"""The statuses of a model version and which may follow which. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway_tuning.errors import ConflictError


class ModelStatus(StrEnum):
    CREATED = "created"  # wanted; no provider works on it yet
    TRAINING = "training"
    AVAILABLE = "available"  # there to be served
    DEPLOYED = "deployed"  # an alias `stable` names it
    ARCHIVED = "archived"  # kept, and served no more
    FAILED = "failed"


ALLOWED: Mapping[ModelStatus, tuple[ModelStatus, ...]] = {
    ModelStatus.CREATED: (
        ModelStatus.TRAINING,
        ModelStatus.AVAILABLE,
        ModelStatus.FAILED,
        ModelStatus.ARCHIVED,
    ),
    ModelStatus.TRAINING: (ModelStatus.AVAILABLE, ModelStatus.FAILED),
    ModelStatus.AVAILABLE: (ModelStatus.DEPLOYED, ModelStatus.ARCHIVED),
    ModelStatus.DEPLOYED: (ModelStatus.AVAILABLE,),
    # A job that failed may be declared again: it has the same key, so its version has the same id.
    ModelStatus.FAILED: (ModelStatus.TRAINING, ModelStatus.AVAILABLE, ModelStatus.ARCHIVED),
    ModelStatus.ARCHIVED: (ModelStatus.AVAILABLE,),
}
UNFINISHED = frozenset({ModelStatus.CREATED, ModelStatus.TRAINING, ModelStatus.FAILED})
SERVABLE = frozenset({ModelStatus.AVAILABLE, ModelStatus.DEPLOYED})


@dataclass(frozen=True, slots=True)
class StatusChange:
    """`before` is None of the first one. `by` is None where nobody said who made it."""

    version_id: str
    before: ModelStatus | None
    status: ModelStatus
    reason: str
    by: str | None
    at: datetime


def require_allowed(version_id: str, before: ModelStatus, status: ModelStatus) -> None:
    """Raises ConflictError that names what is allowed."""
    if status not in ALLOWED[before]:
        raise ConflictError(
            f"{version_id} is {before} and cannot become {status}; it may become: {', '.join(ALLOWED[before])}"
        )


def require_servable(version_id: str, status: ModelStatus, alias: str) -> None:
    """Raises ConflictError for a version that no alias may name."""
    if status not in SERVABLE:
        remedy = (
            "make it available first" if status is ModelStatus.ARCHIVED else "let its training succeed first"
        )
        raise ConflictError(f"{version_id} is {status}, so {alias} cannot name it; {remedy}")
