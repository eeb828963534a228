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
from gateway_tuning.storage.tables import drift_reports, evaluations

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
        }
    },
    "slices": [],
    "judge": None,
    "settings": {"level": 0.95},
    "best": [],
    "worst": [],
    "most_changed": [],
}
_DRIFT: dict[str, Any] = {
    "id": "drift-0a1b2c3d4e5f6071",
    "model": "assistant",
    "kind": "dataset",
    "check_number": 1,
    "alpha": 0.03,
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
    model: str | None = Field(description="Null on checks of earlier versions")
    kind: Literal["dataset", "live"] = Field(
        description="dataset: a new one against that of the stable version; live: what users ask now"
    )
    check_number: int | None = Field(
        description="Of those against one reference, which share a false alarm rate; null when nothing was decided"
    )
    alpha: float | None = Field(description="What this check could spend of that rate")
    dataset_id: str = Field(description="Of a live check: what the version was trained on, empty if nothing")
    reference_id: str = Field(description="A dataset; of a live check the stable version")
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
    result = read_result(row.result)
    return EvaluationWithSamples(
        **_evaluation(row).model_dump(), **{name: getattr(result, name) for name in _DETAILS}
    )


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


def _drift(row: "sa.Row[Any]") -> DriftReportView:
    result = row.result
    return DriftReportView(
        id=row.id,
        model=row.model,
        kind=row.kind or "dataset",
        check_number=row.check_number,
        alpha=row.alpha,
        dataset_id=row.dataset_id,
        reference_id=row.reference_id,
        state=result["state"],
        reasons=result["reasons"],
        score=result["score"],
        metrics=result["metrics"],
        data_quality=result["data_quality"],
        created_at=row.created_at,
    )
