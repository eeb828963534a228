"""The contract of whatever runs our flows, as the API sees it. It is asked and told; the store owns the truth."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class RunStatus(StrEnum):
    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED}


@dataclass(frozen=True, slots=True)
class OrchestratedRun:
    """A run as last seen; `message` is what a person wants to hear of its state.

    `crashed`: it failed without an error of its own, as its process was lost.
    """

    id: str
    status: RunStatus
    message: str = ""
    crashed: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that automations may act on. `id` is a UUID: the same event may be announced again."""

    id: str
    name: str
    resource: str
    occurred: datetime
    payload: dict[str, Any] = field(default_factory=dict)


class Orchestrator(Protocol):
    """Every method raises OrchestratorError when nobody answers; each may then be called again."""

    def start(
        self, deployment: str, parameters: dict[str, Any], *, key: str, tags: tuple[str, ...] = ()
    ) -> OrchestratedRun:
        """Start `flow/deployment`, or find the run that this key started before."""

    def read(self, run_id: str) -> OrchestratedRun:
        """Raises NotFoundError."""

    def cancel(self, run_id: str) -> None:
        """Ask for the end of a run; one that has ended stays as it ended."""

    def announce(self, event: Event) -> None: ...

    def check(self) -> None:
        """Return when it answers."""
