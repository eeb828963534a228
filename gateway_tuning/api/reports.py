"""How candidates compare. Users' words stay out of every list."""

from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import Caller, allow, api_router
from gateway_tuning.api.services import CallServices
from gateway_tuning.evaluation.result import (
    Comparison,
    JudgeSummary,
    Sample,
    SliceComparison,
    SystemSummary,
    read_result,
)
from gateway_tuning.evaluation.scoring.protocol import ScorerCard
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import evaluations

router: APIRouter = api_router("reports")

_VIEW = [allow(Permission.VIEW)]
_SYSTEM: dict[str, Any] = {
    "asked": 120,
    "failed": 0,
    "latency_ms_mean": 212.0,
    "latency_ms_median": 190.0,
    "latency_ms_p95": 410.0,
    "prompt_tokens_mean": 61.0,
    "completion_tokens_mean": 48.5,
}
_EVALUATION: dict[str, Any] = {
    "id": "eval-0a1b2c3d4e5f6071",
    "model": "assistant",
    "candidate": "assistant@4f2e9d1fbd8a",
    "baseline": "assistant@SmolLM2-135M-Instruct",
    "dataset_id": "ds-0a1b2c3d4e5f6071",
    "state": "scored",
    "reasons": [],
    "primary": "similarity",
    "systems": [
        _SYSTEM | {"role": "candidate", "version": "assistant@4f2e9d1fbd8a", "means": {"similarity": 0.52}},
        _SYSTEM | {"role": "stable", "version": "assistant@base", "failed": 1, "means": {"similarity": 0.44}},
    ],
    "comparisons": [
        {
            "metric": "similarity",
            "against": "stable",
            "difference": {"mean": 0.081, "low": 0.052, "high": 0.11, "level": 0.95, "n": 120},
            "missing": 0,
            "p_value": 0.0001,
            "p_adjusted": 0.0008,
            "test": "paired permutation",
            "detectable": 0.041,
        }
    ],
    "created_at": "2026-11-01T10:20:00Z",
}
_DETAILS: dict[str, Any] = {
    "cards": {
        "similarity": {
            "name": "similarity",
            "label": "Similarity",
            "formula": "|A and B| / |A or B| of the two sets of words",
            "source": "Jaccard index",
            "low": 0.0,
            "high": 1.0,
            "higher_is_better": True,
            "failed": 0.0,
            "needs_reference": True,
            "applies_by_question": True,
        }
    },
    "slices": [],
    "judge": None,
    "settings": {"level": 0.95},
    "best": [],
    "worst": [],
    "most_changed": [],
}


class EvaluationView(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_EVALUATION]})

    id: str
    model: str
    candidate: str
    baseline: str
    dataset_id: str
    state: Literal["scored", "no_data", "invalid"] = Field(description="Only scored may lead to a promotion")
    reasons: list[str]
    primary: str = Field(description="The metric that the gate decides on")
    systems: list[SystemSummary]
    comparisons: list[Comparison]
    created_at: datetime


class EvaluationWithSamples(EvaluationView):
    model_config = ConfigDict(json_schema_extra={"examples": [_EVALUATION | _DETAILS]})

    cards: dict[str, ScorerCard] = Field(description="What the metrics are, by name")
    slices: list[SliceComparison]
    judge: JudgeSummary | None
    settings: dict[str, Any]
    best: list[Sample] = Field(description="Anonymized when its dataset was built, as the other samples")
    worst: list[Sample]
    most_changed: list[Sample]


@router.get("/evaluations", dependencies=_VIEW, summary="List evaluations, newest first")
def list_evaluations(
    request: Request, caller: Caller, services: CallServices, paging: Paging
) -> Page[EvaluationView]:
    rows = newest_first(
        services.engine, evaluations, tenant=caller.tenant, limit=paging.limit + 1, before=paging.before
    )
    return paging.page(request, rows, show=_evaluation, place=lambda row: (row.created_at, row.id))


@router.get(
    "/evaluations/{evaluation_id}", dependencies=_VIEW, responses=responses(404), summary="Show an evaluation"
)
def show_evaluation(caller: Caller, services: CallServices, evaluation_id: str) -> EvaluationWithSamples:
    """With its most telling samples, anonymized."""
    row = owned_row(services.engine, evaluations, evaluation_id, tenant=caller.tenant, what="evaluation")
    result = read_result(row.result)
    return EvaluationWithSamples(
        **_evaluation(row).model_dump(), **{name: getattr(result, name) for name in _DETAILS}
    )


def _evaluation(row: "sa.Row[Any]") -> EvaluationView:
    result = read_result(row.result)
    return EvaluationView(
        id=row.id,
        model=row.model,
        candidate=row.candidate,
        baseline=row.baseline,
        dataset_id=row.dataset_id,
        state=result.state,
        reasons=list(result.reasons),
        primary=result.primary,
        systems=list(result.systems),
        comparisons=list(result.comparisons),
        created_at=row.created_at,
    )
