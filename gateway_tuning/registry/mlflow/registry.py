"""Model versions in an MLflow registry, by MLflow's own client.

MLflow has no conditional write: of two writers the last one would win. A lease in our metadata store lets one writer of
a model work at a time. Whoever changes aliases or tags in MLflow itself does not ask for it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.registry.aliases import (
    UNCHECKED,
    AliasChange,
    AliasName,
    Unchecked,
    is_alias,
    require_expected,
)
from gateway_tuning.registry.mlflow import tags
from gateway_tuning.registry.mlflow.client import Client, Held, open_client
from gateway_tuning.registry.mlflow.files import Files
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.rules import require_change, require_namable, require_revision
from gateway_tuning.registry.statuses import UNFINISHED, ModelStatus, StatusChange
from gateway_tuning.registry.version_rows import not_found
from gateway_tuning.settings import Settings
from gateway_tuning.storage import leases
from gateway_tuning.storage.object_store import ObjectStore

_LEASE_SECONDS = 120.0
_WAIT_SECONDS, _PAUSE_SECONDS = 30.0, 0.05


def open_registry(settings: Settings, engine: sa.Engine, *, copy_files: bool = False) -> "MlflowRegistry":
    """Raises ConfigurationError when no MLflow is set, or MissingExtraError."""
    client = open_client(settings)
    return MlflowRegistry(client, engine, Files(ObjectStore.from_settings(settings), copy=copy_files))


class MlflowRegistry:
    """A `protocol.ModelRegistry`. A model is a registered model; a version has our id as a tag beside MLflow's number."""

    def __init__(self, client: Client, engine: sa.Engine, files: Files) -> None:
        self._client = client
        self._engine = engine
        self._files = files

    def register(self, version: ModelVersion) -> ModelVersion:
        with self._writing(version.model) as lease:
            self._claim(version)
            held = self._client.find(version.id)
            if held is None:
                self._create(version, lease)
            else:
                self._complete(held, version)
        return self.get(version.id)

    def get(self, version_id: str) -> ModelVersion:
        return tags.version_of(self._held(version_id).tags)

    def versions(self, model: str | None = None) -> list[ModelVersion]:
        found = [tags.version_of(held.tags) for held in self._client.versions(model)]
        return sorted(found, key=lambda version: (version.created_at, version.id))

    def change_status(
        self,
        version_id: str,
        status: ModelStatus,
        *,
        reason: str,
        now: datetime,
        by: str | None = None,
        expected_revision: int | None = None,
    ) -> ModelVersion:
        with self._writing(self.get(version_id).model):
            held = self._held(version_id)
            version = tags.version_of(held.tags)
            require_revision(version, expected_revision)
            if status is not version.status:
                aliases = self.aliases(version.model)
                require_change(
                    version, status, sorted(name for name, id_ in aliases.items() if id_ == version_id)
                )
                self._set_status(held, version, status, reason=reason, by=by, now=now)
        return self.get(version_id)

    def status_changes(self, version_id: str) -> list[StatusChange]:
        return tags.changes_of(version_id, self._held(version_id).tags)

    def aliases(self, model: str) -> dict[str, str]:
        return {name: id_ for name, id_ in self._named(model).items() if id_ is not None}

    def point(
        self,
        model: str,
        alias: str,
        version_id: str | None,
        *,
        reason: str,
        now: datetime,
        by: str | None = None,
        expected: str | Unchecked | None = UNCHECKED,
    ) -> None:
        name = AliasName.parse(alias)
        with self._writing(model):
            held = None if version_id is None else self._held(version_id)
            if held is not None:
                require_namable(tags.version_of(held.tags), model, str(name))
            named = self._named(model)
            if str(name) in named and named[str(name)] is None and expected is not UNCHECKED:
                raise ConflictError(
                    f"{model} {name} names a version in MLflow that was not registered from here"
                )
            current = named.get(str(name))
            require_expected(model, str(name), current, expected)
            if current != version_id or (version_id is None and str(name) in named):
                # The history first: after a crash in between, the next one who points it there writes it once more.
                self._keep_move(AliasChange(model, str(name), version_id, reason, by, now))
                number = None if held is None else held.number
                self._client.set_alias(model, tags.mlflow_alias(name), number)
            if name.deploys:
                self._settle(model, f"{name}: {reason}", by, now)

    def alias_changes(self, model: str) -> list[AliasChange]:
        registered = self._client.model(model)
        return [] if registered is None else tags.moves_of(model, registered.tags)

    @contextmanager
    def _writing(self, model: str) -> Iterator[leases.Lease]:
        """Raises ConflictError when somebody else writes for longer than one waits."""
        name = f"MLflow registry, {model}"
        owner = f"{leases.this_process()}|{threading.get_ident()}"
        end = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                lease = leases.acquire(
                    self._engine, name, owner=owner, now=datetime.now(UTC), seconds=_LEASE_SECONDS
                )
                break
            except ConflictError:
                if time.monotonic() > end:
                    raise
                time.sleep(_PAUSE_SECONDS)
        try:
            yield lease
        finally:
            leases.release(self._engine, lease, now=datetime.now(UTC))

    def _claim(self, version: ModelVersion) -> None:
        """Raises ConflictError for a registered model that is somebody else's."""
        registered = self._client.model(version.model)
        if registered is None:
            self._client.create_model(version.model, {tags.TENANT: version.tenant})
        elif registered.tags.get(tags.TENANT) != version.tenant:
            raise ConflictError(
                f"MLflow has a model {version.model!r} that is not tenant {version.tenant}'s; choose another name, or "
                f"give that model the tag {tags.TENANT}={version.tenant}"
            )

    def _create(self, version: ModelVersion, lease: leases.Lease) -> None:
        others = self.versions(version.model) if version.job_key is not None else []
        if any(other.job_key == version.job_key for other in others):
            raise ConflictError(
                f"Job {version.job_key} gave {version.model} a version already; {version.id} would be its second one"
            )
        first = StatusChange(version.id, None, version.status, "registered", None, version.created_at)
        kept = self._files.keep(self._client, version)
        # A copy may take longer than the lease lasts: whoever took it over meanwhile may have created this version.
        leases.renew(self._engine, lease, now=datetime.now(UTC), seconds=_LEASE_SECONDS)
        self._client.create_version(
            version.model,
            source=kept.source,
            run_id=kept.run_id,
            tags=tags.version_tags(version) | tags.change_tags(first, 1),
        )

    def _complete(self, held: Held, version: ModelVersion) -> None:
        known = tags.version_of(held.tags)
        marked = version.holds_erased_since is not None and known.holds_erased_since is None
        if known.status in UNFINISHED and version.status is ModelStatus.AVAILABLE:
            whole = replace(version, created_at=known.created_at)
            self._client.tag_version(held, tags.version_tags(whole))
            self._set_status(
                held, known, version.status, reason="its training succeeded", by=None, now=version.created_at
            )
        elif marked:
            erased = replace(known, holds_erased_since=version.holds_erased_since)
            self._client.tag_version(held, tags.version_tags(erased))

    def _set_status(
        self,
        held: Held,
        version: ModelVersion,
        status: ModelStatus,
        *,
        reason: str,
        by: str | None,
        now: datetime,
    ) -> None:
        change = StatusChange(version.id, version.status, status, reason, by, now)
        self._client.tag_version(held, tags.change_tags(change, version.revision + 1))

    def _settle(self, model: str, reason: str, by: str | None, now: datetime) -> None:
        """A version is deployed while a `stable` of any environment names it; also after a move that broke off."""
        deployed = {id_ for name, id_ in self.aliases(model).items() if AliasName.parse(name).deploys}
        for held in self._client.versions(model):
            version = tags.version_of(held.tags)
            status = ModelStatus.DEPLOYED if version.id in deployed else ModelStatus.AVAILABLE
            if status is not version.status and {status, version.status} <= {
                ModelStatus.DEPLOYED,
                ModelStatus.AVAILABLE,
            }:
                self._set_status(held, version, status, reason=reason, by=by, now=now)

    def _keep_move(self, change: AliasChange) -> None:
        registered = self._client.model(change.model)
        if registered is None:
            raise NotFoundError(
                f"MLflow has no model {change.model}; `gateway-tuning models mirror` brings it there"
            )
        number = len(tags.moves_of(change.model, registered.tags)) + 1
        self._client.tag_model(change.model, *tags.move_tag(change, number))

    def _named(self, model: str) -> dict[str, str | None]:
        """Aliases that could be ours, and None for one that names a version which is not."""
        registered = self._client.model(model)
        if registered is None or not registered.aliases:
            return {}
        ids = {str(held.number): held.tags[tags.ID] for held in self._client.versions(model)}
        return {
            tags.our_alias(name): ids.get(str(number))
            for name, number in registered.aliases.items()
            if is_alias(tags.our_alias(name))
        }

    def _held(self, version_id: str) -> Held:
        held = self._client.find(version_id)
        if held is None:
            raise not_found(version_id)
        return held
