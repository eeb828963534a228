"""A tuning cycle: the record of one pass through the loop, which any restart continues.

A cycle pins what it works on (feedback up to a watermark, the incumbent version, the plan), so that a run that
was killed is finished by the next one with the same inputs. At most one cycle a model is unfinished.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, ConfigDict


class CycleStatus(StrEnum):
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"  # of the gate's pass; no process waits
    IN_CANARY = "in_canary"
    FINISHED = "finished"


class CycleOutcome(StrEnum):
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    INCONCLUSIVE = "inconclusive"
    REJECTED = "rejected"  # by the gate, or by a person who was asked to approve
    UNCHANGED = "unchanged"  # training gave the version that is stable already
    TOO_FEW_EXAMPLES = "too_few_examples"
    ABANDONED = "abandoned"


class StageResult(BaseModel):
    """What a stage leaves: the id of its object and a few figures for people."""

    model_config = ConfigDict(frozen=True)

    id: str
    detail: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Cycle:
    """`run_id` is the orchestrator's run that carried it last; None before the first, and of earlier versions.

    `reasons` are those of its end, or why a running one waits.
    """

    id: str
    tenant: str
    model: str
    plan_hash: str
    plan: dict[str, Any]
    watermark: int
    incumbent: str
    started_by: str
    status: CycleStatus
    outcome: CycleOutcome | None
    reasons: tuple[str, ...]
    created_at: datetime
    finished_at: datetime | None
    run_id: str | None = None

    @property
    def canary_id(self) -> str:
        return f"canary-{self.id}"

    @property
    def lease_name(self) -> str:
        return f"cycle {self.id}"


@dataclass(frozen=True, slots=True)
class Stage:
    """`seconds` is the wall time of the attempt that finished the stage."""

    stage: str
    result: StageResult
    seconds: float
    finished_at: datetime


def hash_plan(plan: dict[str, Any]) -> str:
    return sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
