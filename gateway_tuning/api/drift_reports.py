"""Whether what users ask has changed. Topics and telling words are in no list."""

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
from gateway_tuning.drift.result import Bin, QualityIssue, Unmeasured, read_report
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import drift_reports

router: APIRouter = api_router("reports")

_VIEW = [allow(Permission.VIEW)]
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
    "unmeasured": [
        {"name": "refusal", "reason": "all rows of both windows are the same: answered", "blocks": False}
    ],
    "classifier": {
        "auc": 0.52,
        "share": 0.04,
        "p_value": 0.6,
        "threshold": 0.6,
        "share_threshold": 0.08,
        "drifted": False,
        "n_reference": 900,
        "n_current": 800,
    },
    "data_quality": [],
    "created_at": "2026-11-01T10:21:00Z",
}
_DRIFT_DETAILS: dict[str, Any] = {
    "reference": "ds-ffeeddccbbaa9988",
    "current": "ds-0a1b2c3d4e5f6071",
    "topics": [{"label": "refund, invoice, order, paid", "reference": 0.11, "current": 0.12}],
    "words_reference": [],
    "words_current": [],
    "bins": {"prompt length": [{"label": "up to 40", "reference": 0.1, "current": 0.12}]},
}


class DriftMetricView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str
    psi: float
    psi_expected: float = Field(description="What chance gives")
    p_value: float
    threshold: float
    drifted: bool
    n_reference: int
    n_current: int


class ClassifierView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    auc: float = Field(description="Of telling the prompts of the windows apart, for users not seen before")
    share: float = Field(description="About so many of the rows are of another kind")
    p_value: float
    threshold: float = Field(description="Of the AUC")
    share_threshold: float
    drifted: bool
    n_reference: int
    n_current: int


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
    alpha: float | None = Field(
        description="What this check could spend of that rate; null when nothing was decided"
    )
    dataset_id: str = Field(description="Of a live check: what the version was trained on, empty if nothing")
    reference_id: str = Field(description="A dataset; of a live check the stable version")
    state: Literal["drift", "no_drift", "inconclusive", "error", "not_applicable"]
    reasons: list[str]
    score: float | None = Field(description="For display; null when nothing was measured")
    metrics: list[DriftMetricView]
    unmeasured: list[Unmeasured] = Field(
        description="With the reason; what blocks keeps a check that found nothing from being no drift"
    )
    classifier: ClassifierView | None = Field(description="Null when it was not measured")
    data_quality: list[QualityIssue]
    created_at: datetime


class DriftReportWithShares(DriftReportView):
    model_config = ConfigDict(json_schema_extra={"examples": [_DRIFT | _DRIFT_DETAILS]})

    reference: str | None = Field(description="What was compared with, in words; null when there was nothing")
    current: str
    topics: list[Bin] = Field(description="Shares of the prompts about each, named by its heaviest words")
    words_reference: list[str] = Field(description="That fewer users say now, the most telling first")
    words_current: list[str] = Field(description="That more users say now")
    bins: dict[str, list[Bin]] = Field(description="By metric, those that its PSI comes from most")


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
def show_drift_report(caller: Caller, services: CallServices, report_id: str) -> DriftReportWithShares:
    """With the shares of what was counted, topics and telling words: only such as at least three users wrote."""
    row = owned_row(services.engine, drift_reports, report_id, tenant=caller.tenant, what="drift report")
    result = read_report(row.result)
    words = result.classifier
    return DriftReportWithShares(
        **_drift(row).model_dump(),
        reference=result.reference,
        current=result.current,
        topics=list(result.topics),
        words_reference=[] if words is None else list(words.words_reference),
        words_current=[] if words is None else list(words.words_current),
        bins={metric.name: list(metric.bins) for metric in result.metrics},
    )


def _drift(row: "sa.Row[Any]") -> DriftReportView:
    result = read_report(row.result)
    return DriftReportView(
        id=row.id,
        model=row.model,
        kind=row.kind or "dataset",
        check_number=row.check_number,
        alpha=row.alpha,
        dataset_id=row.dataset_id,
        reference_id=row.reference_id,
        state=result.state,
        reasons=list(result.reasons),
        score=result.score,
        metrics=[DriftMetricView.model_validate(metric) for metric in result.metrics],
        unmeasured=list(result.unmeasured),
        classifier=None if result.classifier is None else ClassifierView.model_validate(result.classifier),
        data_quality=list(result.data_quality),
        created_at=row.created_at,
    )
