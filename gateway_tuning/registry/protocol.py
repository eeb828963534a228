"""What a registry of model versions can do. Both halves hold for every backend; `catalog` has them.

Concurrent changes are refused, not lost: of two writers that say what they saw, the second one gets ConflictError.
"""

from datetime import datetime
from typing import Protocol

from gateway_tuning.registry.aliases import UNCHECKED, AliasChange, Unchecked
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.statuses import ModelStatus, StatusChange


class VersionRegistry(Protocol):
    def register(self, version: ModelVersion) -> ModelVersion:
        """Add the version once. One that is created, training or failed is completed by one that is available.

        Any other that is there already is returned as it stands, but for a mark that a person was erased: that is
        taken over.

        Raises:
            ConflictError: the model is another tenant's, or its job gave it another version.
        """
        ...

    def get(self, version_id: str) -> ModelVersion:
        """Raises NotFoundError."""
        ...

    def versions(self, model: str | None = None) -> list[ModelVersion]:
        """Oldest first."""
        ...

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
        """Move on to another status. The one that it has already changes nothing.

        Raises:
            ConflictError: the change is not allowed, an alias or a canary needs the version as it is, or the version
                has another revision than the one expected.
        """
        ...

    def status_changes(self, version_id: str) -> list[StatusChange]:
        """Oldest first."""
        ...


class AliasRegistry(Protocol):
    def aliases(self, model: str) -> dict[str, str]:
        """Alias to version id. Those of the default environment go by their name alone."""
        ...

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
        """Let the alias name the version, or nothing, and keep who did it and why. Twice is once.

        A version is deployed from when a `stable` names it until none does.

        Args:
            model: behind the gateway.
            alias: `stable`, or `staging/candidate`.
            version_id: None removes the alias.
            reason: for the history.
            now: for the history.
            by: who, as in the audit log.
            expected: the version that the alias must name, None for none.

        Raises:
            ConflictError: the alias names something else than expected, or the version cannot be served.
            NotFoundError: the model has no such version.
        """
        ...

    def alias_changes(self, model: str) -> list[AliasChange]:
        """Oldest first."""
        ...


class ModelRegistry(VersionRegistry, AliasRegistry, Protocol):
    """A backend has both halves."""
