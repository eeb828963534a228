"""Bring one registry to what another one has of a model. Doing it again changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway_tuning.errors import NotFoundError
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.protocol import ModelRegistry
from gateway_tuning.registry.statuses import SERVABLE, ModelStatus

_REASON = "as in the registry that it is mirrored from"


@dataclass(frozen=True, slots=True)
class Mirrored:
    registered: int
    statuses: int
    aliases: int


def mirror(
    model: str, source: ModelRegistry, target: ModelRegistry, *, now: datetime, by: str | None = None
) -> Mirrored:
    """Versions whose training has not succeeded stay out. Aliases that the target got by other ways are left alone.

    Raises:
        NotFoundError: the source has no finished version of the model.
        ConflictError: somebody changes the target at the same time; nothing of it is lost, mirror again.
    """
    versions = [version for version in source.versions(model) if _is_finished(version)]
    if not versions:
        raise NotFoundError(f"No finished version of {model}; `gateway-tuning models list` shows all")
    known = {version.id for version in target.versions(model)}
    for version in versions:
        target.register(replace(version, revision=1, status=ModelStatus.AVAILABLE))
    # An alias names only what can be served, and only what no alias names can be archived.
    statuses = _follow(target, versions, ModelStatus.AVAILABLE, now, by)
    aliases = _point(model, source, target, now, by)
    statuses += _follow(target, versions, ModelStatus.ARCHIVED, now, by)
    return Mirrored(sum(version.id not in known for version in versions), statuses, aliases)


def _is_finished(version: ModelVersion) -> bool:
    archived = version.status is ModelStatus.ARCHIVED and version.has_something_to_serve
    return archived or version.status in SERVABLE


def _follow(
    target: ModelRegistry,
    versions: Sequence[ModelVersion],
    status: ModelStatus,
    now: datetime,
    by: str | None,
) -> int:
    """Deployed comes with the alias, so that a version is available or archived here."""
    changed = 0
    for version in versions:
        wanted = ModelStatus.AVAILABLE if version.status in SERVABLE else ModelStatus.ARCHIVED
        found = target.get(version.id).status
        is_so = found in SERVABLE if wanted is ModelStatus.AVAILABLE else found is wanted
        if wanted is status and not is_so:
            target.change_status(version.id, wanted, reason=_REASON, now=now, by=by)
            changed += 1
    return changed


def _point(model: str, source: ModelRegistry, target: ModelRegistry, now: datetime, by: str | None) -> int:
    wanted, seen = source.aliases(model), target.aliases(model)
    ours = {move.alias for move in target.alias_changes(model)}
    reasons = {move.alias: move.reason for move in source.alias_changes(model)}
    changes: dict[str, str | None] = {name: id_ for name, id_ in wanted.items() if seen.get(name) != id_}
    changes |= {name: None for name in seen if name in ours and name not in wanted}
    for name, version_id in sorted(changes.items()):
        reason = reasons.get(name, _REASON)
        target.point(model, name, version_id, reason=reason, now=now, by=by, expected=seen.get(name))
    return len(changes)
