"""A run: something a principal asked for, and what became of it. Its flow is the orchestrator's business."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from gateway_tuning.runs.orchestrator import RunStatus

_TAG = "run:"


class RunKind(StrEnum):
    DATASET = "dataset"
    TRAINING_JOB = "training-job"
    EVALUATION = "evaluation"
    DRIFT_CHECK = "drift-check"
    CANARY = "canary"
    TUNING_CYCLE = "tuning-cycle"

    @property
    def deployment(self) -> str:
        """`flow/deployment`, as prefect.yaml names them."""
        name = {
            RunKind.DATASET: "build-dataset",
            RunKind.TRAINING_JOB: "train-model",
            RunKind.EVALUATION: "evaluate-model",
            RunKind.DRIFT_CHECK: "check-drift",
            RunKind.CANARY: "start-canary",
            RunKind.TUNING_CYCLE: "tuning-cycle",
        }[self]
        return f"{name}/{name}"


@dataclass(frozen=True, slots=True)
class Intent:
    """What is asked for, before anybody hears of it. `request_sha256` is of the request as the caller meant it."""

    id: str
    tenant: str
    kind: RunKind
    parameters: dict[str, Any]
    started_by: str
    request_sha256: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """`orchestrator_id` is None while it is unknown whether the orchestrator has the run.

    `result_id` names what the run made: a dataset, model version, evaluation, drift report, canary or cycle.
    """

    id: str
    tenant: str
    kind: RunKind
    parameters: dict[str, Any]
    started_by: str
    status: RunStatus
    orchestrator_id: str | None
    result_id: str | None
    message: str
    created_at: datetime
    updated_at: datetime

    @property
    def tag(self) -> str:
        return f"{_TAG}{self.id}"


def run_of_tags(tags: Iterable[str]) -> str | None:
    """The id of the run that a flow run carries out."""
    return next((tag.removeprefix(_TAG) for tag in tags if tag.startswith(_TAG)), None)
