"""Feedback comes in here, and its receipts go out."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import orjson
from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.responses import Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.problems import MEDIA_TYPE, ProblemError, responses
from gateway_tuning.api.rates import RateClass
from gateway_tuning.api.security import LeanRoute, allow, api_router
from gateway_tuning.api.services import CallServices, services_of
from gateway_tuning.feedback.ingest import Receipt
from gateway_tuning.feedback.receipts import receipt
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.submission import Submission, read_body
from gateway_tuning.feedback.versions import Statement
from gateway_tuning.observability.spans import LoopSpan, feedback_span

_LONGEST_KEY = 200
_CORRECTION = {
    "id": "fb-7f3a",
    "user_id": "user-113",
    "type": "correction",
    "prompt": "Where do I enter a gift card?",
    "response": "There are many things to consider.",
    "corrected_response": "At the last step of the checkout.",
    "timestamp": "2026-11-01T09:52:56Z",
}
_THUMB = {
    "type": "thumbs_up",
    "prompt": "Do you ship abroad?",
    "response": "Yes, to all of Europe.",
    "timestamp": "2026-11-01T09:53:10Z",
}


class ReceiptItem(BaseModel):
    id: str = Field(description="The record's id, or the fingerprint under which it was set aside")
    state: Literal["stored", "quarantined", "erased"]
    news: Literal["added", "replaced", "duplicate"]
    reasons: list[str]


class Receipts(BaseModel):
    """One receipt an element, in their order. What it says is on disk."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "receipts": [{"id": "fb-7f3a", "state": "stored", "news": "added", "reasons": []}],
                    "usable": 1,
                }
            ]
        }
    )

    receipts: list[ReceiptItem]
    usable: int = Field(description="How many of them are stored, now or before")


class SetAsideView(BaseModel):
    stage: str = Field(description="reading, validation, trust or anonymization")
    reasons: list[str]
    at: datetime
    review: Literal["accepted", "rejected"] | None = Field(description="What a person decided last of it")


class DatasetView(BaseModel):
    dataset_id: str
    used: bool
    reason: str | None = Field(description="Why it was left out, or what was decided on its vote")
    retired: bool = Field(description="An erasure replaced the dataset by one without the erased")
    models: list[str] = Field(description="Model versions that were trained on it")


class FeedbackReceiptView(BaseModel):
    """What became of one record, from ingestion to the models that learned from it."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "fb-7f3a",
                    "state": "stored",
                    "type": "correction",
                    "event_time": "2026-11-01T09:52:56Z",
                    "received_at": "2026-11-01T09:52:57Z",
                    "quarantine": [],
                    "datasets": [
                        {
                            "dataset_id": "ds-0a1b2c3d4e5f6071",
                            "used": True,
                            "reason": None,
                            "retired": False,
                            "models": ["assistant@4f2e9d1fbd8a"],
                        }
                    ],
                    "enrichment": None,
                }
            ]
        },
    )

    id: str
    state: Literal["stored", "quarantined", "erased"]
    type: str | None
    event_time: datetime | None
    received_at: datetime | None
    quarantine: list[SetAsideView]
    datasets: list[DatasetView]
    enrichment: dict[str, Any] | None


_record = TypeAdapter(FeedbackRecord).json_schema(ref_template="#/components/schemas/{model}")
_DEFINITIONS = _record.pop("$defs", {})
# The id may come from the Idempotency-Key, and the tenant from the caller.
_RECORD = _record | {
    "required": [name for name in _record["required"] if name != "id"],
    "title": "FeedbackRecord",
}


def _inlined(schema: Any) -> Any:
    """References resolved: the record is read outside of FastAPI, which therefore does not publish its parts."""
    if isinstance(schema, list):
        return [_inlined(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(_DEFINITIONS[schema["$ref"].rpartition("/")[2]])
    return {key: _inlined(value) for key, value in schema.items()}


_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    _inlined(_RECORD),
                    {
                        "type": "array",
                        "minItems": 1,
                        "items": _inlined(_RECORD),
                        "description": "At most `max_batch` records, 1000 by default",
                    },
                ]
            },
            "examples": {
                "one record": {"value": _CORRECTION},
                "a batch": {"value": [_CORRECTION, _THUMB | {"id": "fb-7f3b"}]},
                "without an id, under an Idempotency-Key": {"value": _THUMB},
            },
        }
    },
}
_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Gives ids to records without one; the same key and body again change nothing",
    "schema": {"type": "string", "minLength": 1, "maxLength": _LONGEST_KEY},
}

router = api_router("feedback", route_class=LeanRoute)
receipts_router = api_router("feedback")


@router.post(
    "/feedback",
    summary="Post one feedback record or a batch",
    status_code=201,
    response_model=Receipts,
    responses={
        **responses(400, 409, 413),
        422: {
            "description": "The body is no record or batch, or nothing of it could be used: `receipts` say why",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        },
    },
    openapi_extra={"requestBody": _BODY, "parameters": [_KEY_HEADER]},
    dependencies=[allow(Permission.SUBMIT, rate=RateClass.FEEDBACK)],
)
async def post_feedback(request: Request) -> Response:
    """Answers when every element is on disk: stored, or set aside with its reasons.

    An element that is no usable record does not harm its neighbours. 422 tells that none could be used; they are
    set aside all the same, and `GET /feedback/{id}` shows them.
    """
    services = services_of(request)
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= _LONGEST_KEY:
        raise ProblemError(400, f"An Idempotency-Key has 1 to {_LONGEST_KEY} characters")
    begun = services.now()
    submission = read_body(
        await request.body(),
        tenant=request.state.principal.tenant,
        idempotency_key=key,
        now=begun,
        max_records=services.settings.max_batch,
        tokens=services.token_policy,
    )
    given = await services.ingest.write(submission)
    if services.tracing is not None:
        services.tracing.send(_spans(submission, given, begun, services.now()))
    return _answer(given)


@receipts_router.get(
    "/feedback/{feedback_id}",
    summary="The receipt of a record",
    responses=responses(404),
    dependencies=[allow(Permission.VIEW)],
)
async def get_receipt(
    feedback_id: Annotated[str, Path(max_length=200)], request: Request, services: CallServices
) -> FeedbackReceiptView:
    """Stored, quarantined or erased; in which datasets, with what decided on it; and which models learned from it."""
    tenant = request.state.principal.tenant
    found = await asyncio.to_thread(receipt, services.engine, tenant, feedback_id)
    return FeedbackReceiptView.model_validate(found, from_attributes=True)


def _spans(
    submission: Submission, given: list[Receipt], begun: datetime, ended: datetime
) -> Iterator[LoopSpan]:
    """Of what is stored: to these, datasets link."""
    for item, receipt_ in zip(submission.items, given, strict=True):
        if isinstance(item, Statement) and receipt_.state == "stored":
            kind = item.record.type.value
            yield feedback_span(submission.tenant, receipt_.id, kind, begun=begun, ended=ended)


def _answer(given: list[Receipt]) -> Response:
    usable = sum(item.state == "stored" for item in given)
    content = {"receipts": given, "usable": usable}
    if usable:
        return Response(orjson.dumps(content), HTTPStatus.CREATED, media_type="application/json")
    told = {
        "type": "about:blank",
        "title": HTTPStatus.UNPROCESSABLE_ENTITY.phrase,
        "status": 422,
        "detail": "Nothing of the body could be used; `receipts` say why",
    }
    return Response(orjson.dumps(told | content), 422, media_type=MEDIA_TYPE)
