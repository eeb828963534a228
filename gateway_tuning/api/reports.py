"""How candidates compare, and whether what users ask has changed. Users' words stay out of every list."""

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
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import drift_reports, evaluations

router: APIRouter = api_router("reports")

_VIEW = [allow(Permission.VIEW)]
_SAMPLES = ("best", "worst", "most_changed")
_EVALUATION: dict[str, Any] = {
    "id": "eval-0a1b2c3d4e5f6071",
    "model": "assistant",
    "candidate": "assistant@4f2e9d1fbd8a",
    "baseline": "assistant@SmolLM2-135M-Instruct",
    "dataset_id": "ds-0a1b2c3d4e5f6071",
    "state": "scored",
    "reasons": [],
    "candidate_scores": {"n": 120, "errors": 0, "similarity": 0.52, "accuracy": 0.31},
    "baseline_scores": {"n": 120, "errors": 1, "similarity": 0.44, "accuracy": 0.22},
    "similarity": {"mean": 0.081, "low": 0.052, "high": 0.11, "level": 0.95, "n": 120},
    "accuracy": {"mean": 0.09, "low": 0.01, "high": 0.17, "level": 0.95, "n": 120},
    "created_at": "2026-11-01T10:20:00Z",
}
_DRIFT: dict[str, Any] = {
    "id": "drift-0a1b2c3d4e5f6071",
    "dataset_id": "ds-0a1b2c3d4e5f6071",
    "reference_id": "ds-ffeeddccbbaa9988",
    "state": "no_drift",
    "reasons": ["None of 4 features has changed by more than chance"],
    "score": 0.01,
    "metrics": [
        {
            "name": "prompt length",
            "psi": 0.03,
            "psi_expected": 0.02,
            "p_value": 0.4,
            "threshold": 0.1,
            "drifted": False,
            "n_reference": 900,
            "n_current": 800,
        }
    ],
    "data_quality": [],
    "created_at": "2026-11-01T10:21:00Z",
}


class ScoresView(BaseModel):
    """Unknown figures are null. A failed answer counts as 0 in similarity and accuracy."""

    n: int
    errors: int
    similarity: float | None
    accuracy: float | None
    latency_ms_mean: float | None = None
    latency_ms_median: float | None = None
    latency_ms_p95: float | None = None
    prompt_tokens_mean: float | None = None
    completion_tokens_mean: float | None = None


class DifferenceView(BaseModel):
    """Candidate minus baseline, with the interval at this level."""

    mean: float | None
    low: float | None
    high: float | None
    level: float
    n: int


class EvaluationView(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_EVALUATION]})

    id: str
    model: str
    candidate: str
    baseline: str
    dataset_id: str
    state: Literal["scored", "no_data", "invalid"] = Field(description="Only scored may lead to a promotion")
    reasons: list[str]
    candidate_scores: ScoresView
    baseline_scores: ScoresView
    similarity: DifferenceView
    accuracy: DifferenceView
    created_at: datetime


class SampleView(BaseModel):
    """Anonymized when its dataset was built."""

    example_id: str
    prompt: str
    preferred: str
    candidate_answer: str | None
    baseline_answer: str | None
    candidate_error: str | None
    baseline_error: str | None
    candidate_similarity: float
    baseline_similarity: float


class EvaluationWithSamples(EvaluationView):
    model_config = ConfigDict(
        json_schema_extra={"examples": [_EVALUATION | {"best": [], "worst": [], "most_changed": []}]}
    )

    best: list[SampleView]
    worst: list[SampleView]
    most_changed: list[SampleView]


class DriftMetricView(BaseModel):
    name: str
    psi: float
    psi_expected: float = Field(description="What chance gives")
    p_value: float
    threshold: float
    drifted: bool
    n_reference: int
    n_current: int


class QualityIssueView(BaseModel):
    type: str
    severity: str
    description: str


class DriftReportView(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_DRIFT]})

    id: str
    dataset_id: str
    reference_id: str
    state: Literal["drift", "no_drift", "inconclusive", "error", "not_applicable"]
    reasons: list[str]
    score: float | None = Field(description="For display; null when nothing was measured")
    metrics: list[DriftMetricView]
    data_quality: list[QualityIssueView]
    created_at: datetime


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
    samples = {name: row.result[name] for name in _SAMPLES}
    return EvaluationWithSamples(**_evaluation(row).model_dump(), **samples)


@router.get("/drift-reports", dependencies=_VIEW, summary="List drift reports, newest first")
def list_drift_reports(
    request: Request, caller: Caller, services: CallServices, paging: Paging
) -> Page[DriftReportView]:
    rows = newest_first(
        services.engine, drift_reports, tenant=caller.tenant, limit=paging.limit + 1, before=paging.before
    )
    return paging.page(request, rows, show=_drift, place=lambda row: (row.created_at, row.id))


@router.get(
    "/drift-reports/{report_id}", dependencies=_VIEW, responses=responses(404), summary="Show a drift report"
)
def show_drift_report(caller: Caller, services: CallServices, report_id: str) -> DriftReportView:
    row = owned_row(services.engine, drift_reports, report_id, tenant=caller.tenant, what="drift report")
    return _drift(row)


def _evaluation(row: "sa.Row[Any]") -> EvaluationView:
    result = row.result
    return EvaluationView(
        id=row.id,
        model=row.model,
        candidate=row.candidate,
        baseline=row.baseline,
        dataset_id=row.dataset_id,
        state=result["state"],
        reasons=result["reasons"],
        candidate_scores=ScoresView.model_validate(result["candidate"]),
        baseline_scores=ScoresView.model_validate(result["baseline"]),
        similarity=DifferenceView.model_validate(result["similarity"]),
        accuracy=DifferenceView.model_validate(result["accuracy"]),
        created_at=row.created_at,
    )


def _drift(row: "sa.Row[Any]") -> DriftReportView:
    result = row.result
    return DriftReportView(
        id=row.id,
        dataset_id=row.dataset_id,
        reference_id=row.reference_id,
        state=result["state"],
        reasons=result["reasons"],
        score=result["score"],
        metrics=result["metrics"],
        data_quality=result["data_quality"],
        created_at=row.created_at,
    )
