"""When a version may move on, whatever keeps it. Pure."""

from collections.abc import Sequence

from gateway_tuning.errors import ConflictError
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.statuses import ModelStatus, require_allowed, require_servable


def require_revision(version: ModelVersion, expected: int | None) -> None:
    """Raises ConflictError when somebody changed the version since whoever changes it now looked."""
    if expected not in {None, version.revision}:
        raise ConflictError(
            f"{version.id} is {version.status} at revision {version.revision}, not {expected}; "
            "nothing was changed, look again"
        )


def require_change(version: ModelVersion, status: ModelStatus, aliases: Sequence[str]) -> None:
    """For a change that no alias makes; `aliases` name the version. Raises ConflictError."""
    require_allowed(version.id, version.status, status)
    if ModelStatus.DEPLOYED in {version.status, status}:
        raise ConflictError(
            f"{version.id} is {version.status} and becomes {status} with the alias stable alone; "
            "point the alias instead"
        )
    if status is ModelStatus.AVAILABLE and not version.has_something_to_serve:
        raise ConflictError(
            f"{version.id} has neither files nor a served model, so it cannot become available; train it first"
        )
    if status is ModelStatus.ARCHIVED and aliases:
        raise ConflictError(
            f"{version.id} is {version.model}'s {', '.join(aliases)}; point that elsewhere before it is archived"
        )


def require_namable(version: ModelVersion, model: str, alias: str) -> None:
    """Raises ConflictError for a version that the model's alias may not name."""
    if version.model != model:
        raise ConflictError(
            f"{version.id} is a version of {version.model}, so {model} {alias} cannot name it"
        )
    require_servable(version.id, version.status, f"{model} {alias}")
