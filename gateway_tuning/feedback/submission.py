"""A body of feedback, read and judged without the store: each element is a statement or set aside. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import pydantic_core

from gateway_tuning.errors import InputFileError
from gateway_tuning.feedback import rating_token
from gateway_tuning.feedback.expressions import shown
from gateway_tuning.feedback.mapping import canonical_json
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.shaping import shape
from gateway_tuning.feedback.validation import MAX_TEXT_LENGTH, problems
from gateway_tuning.feedback.versions import Statement, statement

SOURCE = "api"


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """`key` is None where the gateway signs nothing; then tokens are not looked at."""

    key: bytes | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """One request. Its elements in order; `key` is the sender's idempotency key, hashed."""

    tenant: str
    items: tuple[Statement | QuarantineEntry, ...]
    key: str | None = None
    request_sha256: str = ""


def read_body(
    body: bytes,
    *,
    tenant: str,
    idempotency_key: str | None,
    now: datetime,
    max_records: int,
    tokens: TokenPolicy,
) -> Submission:
    """One JSON object or an array of them.

    A record without an id takes one from the idempotency key, so that sending it again gives the same record.

    Raises:
        InputFileError: the body is no JSON object or array, is empty, or holds more than `max_records`; nothing of
            it is kept.
    """
    document = _parse(body)
    values = document if isinstance(document, list) else [document]
    if not values or not isinstance(document, list | dict):
        raise InputFileError("The body must be one feedback record or a non-empty array of them, as JSON")
    if len(values) > max_records:
        raise InputFileError(f"{len(values)} records in one body; send at most {max_records}")
    # An empty text means absent except in two fields; the careful way knows which.
    careful = b'""' in body
    items = tuple(
        _read(value, place, careful=careful, tenant=tenant, key=idempotency_key, now=now, tokens=tokens)
        for place, value in enumerate(values)
    )
    if idempotency_key is None:
        return Submission(tenant, items)
    return Submission(tenant, items, sha256(idempotency_key.encode()).hexdigest(), sha256(body).hexdigest())


def _parse(body: bytes) -> Any:
    try:
        return pydantic_core.from_json(body)
    except ValueError:
        # The strict reader knows no lone surrogates; Python's does, and then the one record is set aside.
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            told = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise InputFileError(f"The body is not valid JSON: {told}") from None


def _read(
    value: Any, place: int, *, careful: bool, tenant: str, key: str | None, now: datetime, tokens: TokenPolicy
) -> Statement | QuarantineEntry:
    if not isinstance(value, dict):
        reason = f"Not a JSON object: {shown(value)}"
        return QuarantineEntry(
            tenant, "reading", SOURCE, f"element {place}", (reason,), canonical_json(value)
        )
    given_id = value.get("id")
    if given_id in (None, "") and key is not None:
        value = {**value, "id": sha256(f"{key}\0{place}".encode()).hexdigest()[:32]}
    if tokens.key is None and "rating_token" in value:
        value = {**value, "rating_token": None}  # nobody vouches for it
    elif isinstance(signed := value.get("rating_token"), str):
        value = _with_signed_version(value, signed, tokens)
    theirs = value.setdefault("tenant", tenant)
    given, reasons, feedback_id = (None, (), None) if careful else _quickly_shaped(value, now)
    if given is None and not reasons:
        given, reasons, feedback_id = _carefully_shaped(value, now)
    if theirs != tenant:
        reasons = (*reasons, f"Belongs to another tenant: {shown(theirs)}, the key is of {shown(tenant)}")
    if given is not None and not reasons:
        reasons = _token_faults(given.record, tokens, now)
    if given is None or reasons:
        user = value.get("user_id")
        return QuarantineEntry(
            tenant, "validation", SOURCE, f"element {place}", reasons, canonical_json(value),
            feedback_id, user if isinstance(user, str) else None,
        )  # fmt: skip
    return given


def _with_signed_version(value: dict[str, Any], token: str, tokens: TokenPolicy) -> dict[str, Any]:
    """What the gateway signed goes before what the sender believes. The token itself is judged with the record."""
    version = None if tokens.key is None else rating_token.version_of(tokens.key, token)
    return value if version is None else {**value, "model_version": version}


def _quickly_shaped(
    value: dict[str, Any], now: datetime
) -> tuple[Statement | None, tuple[str, ...], str | None]:
    """As below, for a sound record; nothing at all where a closer look is needed."""
    try:
        given = statement(FeedbackRecord.model_validate(value))
    except ValueError:
        return None, (), None
    clean = len(given.content) <= MAX_TEXT_LENGTH and "\\u0000" not in given.content
    record = given.record
    found = tuple(problems(record, now=now, texts=not clean))
    return given, found, record.id if record.id.isprintable() else None


def _carefully_shaped(
    value: dict[str, Any], now: datetime
) -> tuple[Statement | None, tuple[str, ...], str | None]:
    """The record, every reason against it, and its id where that is sound."""
    shaped = shape(value, unknown=set())
    found = () if shaped.record is None else tuple(problems(shaped.record, now=now, ignoring=shaped.unsound))
    reasons = (*shaped.faults, *found)
    if shaped.record is None or reasons:
        return None, reasons, shaped.feedback_id
    return statement(shaped.record), (), shaped.feedback_id


def _token_faults(record: FeedbackRecord, tokens: TokenPolicy, now: datetime) -> tuple[str, ...]:
    if tokens.key is None:
        return ()
    if record.rating_token is None:
        return ("Rating token is missing",) if tokens.required else ()
    found = rating_token.fault(
        tokens.key, record.rating_token, answer_id=record.answer_id, user=record.user_id, now=now
    )
    return (found,) if found else ()
