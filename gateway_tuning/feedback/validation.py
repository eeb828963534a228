"""What makes a feedback record usable. Each rule is a message, the fields it reads, and a test of them."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType

CLOCK_SKEW = timedelta(minutes=5)
EARLIEST = datetime(2015, 1, 1, tzinfo=UTC)
MAX_TEXT_LENGTH = 100_000  # characters
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Rule:
    message: str
    fields: frozenset[str]
    is_broken: Callable[[FeedbackRecord], bool]


def problems(
    record: FeedbackRecord,
    *,
    now: datetime,
    max_text_length: int = MAX_TEXT_LENGTH,
    ignoring: frozenset[str] = frozenset(),
    texts: bool = True,
) -> list[str]:
    """Every reason why the record must not be used; empty when it may be.

    Fields in `ignoring` are not judged. `texts=False` leaves out the look at every single text, for a caller who
    knows that all of them together are short and clean.
    """
    rules = [rule for rule in RULES if not rule.fields & ignoring] if ignoring else RULES
    found = [rule.message for rule in rules if rule.is_broken(record)]
    if "timestamp" not in ignoring:
        found += _time_problems(record.timestamp, now)
    if (record.history or record.turns) and not {"history", "turns"} & ignoring:
        found += _tool_problems(record)
    if texts:
        found += _text_problems(record, max_text_length, ignoring)
    return found


def _rule(message: str, fields: str, is_broken: Callable[[FeedbackRecord], bool]) -> Rule:
    return Rule(message, frozenset(fields.split()), is_broken)


def _blank(text: str | None) -> bool:
    return text is None or not text.strip()


def _same(one: str, other: str | None) -> bool:
    """Equal but for white space; blank texts are told by rules of their own."""
    return other is not None and bool(one.split()) and one.split() == other.split()


def _score_above(record: FeedbackRecord, bound: float) -> bool:
    return record.satisfaction_score is not None and record.satisfaction_score > bound


def _score_below(record: FeedbackRecord, bound: float) -> bool:
    return record.satisfaction_score is not None and record.satisfaction_score < bound


RULES = (
    _rule("Original prompt cannot be empty", "prompt", lambda r: _blank(r.prompt)),
    _rule("Model response cannot be empty", "response", lambda r: _blank(r.response)),
    _rule(
        "Manual correction feedback requires a corrected response",
        "type corrected_response",
        lambda r: r.type == FeedbackType.CORRECTION and _blank(r.corrected_response),
    ),
    _rule(
        "Satisfaction score must be between -1 and 1",
        "satisfaction_score",
        lambda r: _score_below(r, -1) or _score_above(r, 1),
    ),
    _rule(
        "Satisfaction score is not a number",
        "satisfaction_score",
        lambda r: r.satisfaction_score is not None and math.isnan(r.satisfaction_score),
    ),
    _rule(
        "Corrected response equals the model response",
        "type response corrected_response",
        lambda r: r.type == FeedbackType.CORRECTION and _same(r.response, r.corrected_response),
    ),
    _rule(
        "Reformulation feedback requires the second wording",
        "type reformulated_prompt",
        lambda r: r.type == FeedbackType.REFORMULATION and _blank(r.reformulated_prompt),
    ),
    _rule(
        "Second wording equals the original prompt",
        "type prompt reformulated_prompt",
        lambda r: r.type == FeedbackType.REFORMULATION and _same(r.prompt, r.reformulated_prompt),
    ),
    _rule(
        "Text feedback requires a comment",
        "type comment",
        lambda r: r.type == FeedbackType.TEXT and _blank(r.comment),
    ),
    _rule(
        "Automatic evaluation requires a satisfaction score",
        "type satisfaction_score",
        lambda r: r.type == FeedbackType.AUTOMATIC_EVALUATION and r.satisfaction_score is None,
    ),
    _rule(
        "Thumbs up contradicts a negative satisfaction score",
        "type satisfaction_score",
        lambda r: r.type == FeedbackType.THUMBS_UP and _score_below(r, 0),
    ),
    _rule(
        "Thumbs down contradicts a positive satisfaction score",
        "type satisfaction_score",
        lambda r: r.type == FeedbackType.THUMBS_DOWN and _score_above(r, 0),
    ),
)


_BY_POLICY = re.compile(
    r"Timestamp lies |Thumbs (up|down) contradicts |\S+ is too long: |Rating token (is missing|has expired)$"
)


def may_be_overruled(problem: str) -> bool:
    """Whether a person may use the record all the same: it can be read, and a rule of ours alone is against it."""
    return _BY_POLICY.match(problem) is not None


def _tool_problems(record: FeedbackRecord) -> Iterator[str]:
    called: set[str] = set()
    for place, messages in (("history", record.history), ("turns", record.turns or ())):
        for index, message in enumerate(messages):
            where = f"{place}.{index}"
            if message.tool_calls and message.role != "assistant":
                yield f"{where} is no turn of the assistant and calls tools"
            for call in message.tool_calls or ():
                called.add(call.id)
                if not _is_object(call.arguments):
                    yield f"{where} calls a tool with arguments that are no JSON object"
            if message.tool_call_id is not None and message.tool_call_id not in called:
                yield f"{where} answers no call of a tool: tool_call_id must name one before it"
    if any(message.role in ("system", "user") for message in record.turns or ()):
        yield "turns hold one of the user: what was asked before the prompt belongs to history"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _time_problems(timestamp: datetime, now: datetime) -> Iterator[str]:
    if timestamp.tzinfo is None:
        yield f"Timestamp has no time zone: {timestamp.isoformat()}"
    elif timestamp > now + CLOCK_SKEW:
        yield f"Timestamp lies in the future: {timestamp.isoformat()}"
    elif timestamp < EARLIEST:
        yield f"Timestamp lies before {EARLIEST.year}: {timestamp.isoformat()}"


def _text_problems(record: FeedbackRecord, max_length: int, ignoring: frozenset[str]) -> Iterator[str]:
    for name, text in _texts(record):
        field = name.partition(".")[0]
        if field in ignoring:
            continue
        if len(text) > max_length:
            yield f"{field} is too long: {len(text):,} characters, the limit is {max_length:,}"
        if found := UNSTORABLE.search(text):
            what = "a NUL character" if found.group() == "\0" else "half of a surrogate pair"
            yield f"{field} holds {what}: at character {found.start() + 1} of {name}"


def _texts(record: FeedbackRecord) -> Iterator[tuple[str, str]]:
    """Every text of the record with its place; a place names no value."""
    for field in type(record).model_fields:
        value = getattr(record, field)
        if isinstance(value, str):
            yield field, value
    for key, value in record.metadata.items():
        yield from (("metadata", key), ("metadata", value))
    for text in record.user_context:
        yield "user_context", text
    for place, messages in (("history", record.history), ("turns", record.turns or ())):
        for index, message in enumerate(messages):
            yield f"{place}.{index}.content", message.content
            for call in message.tool_calls or ():
                yield f"{place}.{index}.tool_calls", call.arguments
    for index, tool in enumerate(record.tools or ()):
        yield f"tools.{index}", json.dumps(tool, ensure_ascii=False)
    if record.request is not None:
        own = (record.request.session_id or "", record.request.client_application or "")
        parameters = (text for pair in record.request.parameters.items() for text in pair)
        yield from (("request", text) for text in (*own, *parameters))
