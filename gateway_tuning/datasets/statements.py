"""What a record says, taken apart: examples that it states by itself, and its vote on its answer. Pure.

| feedback | states | votes |
|---|---|---|
| a corrected answer, of any type | demonstration of it, preference over the given one | |
| reformulation that was answered | preference for the second answer on the first wording, demonstration on the second | |
| undeclared reformulation (`reformulations`) | the same preference, with a confidence | |
| thumbs up or down, text or automatic evaluation with a score | | up or down |

Each statement names its own context, so that those on one context can be brought together wherever they were made.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway_tuning.datasets.draft import Context, Draft, Source
from gateway_tuning.datasets.example import ExampleKind, ToolCall, Turn
from gateway_tuning.datasets.reformulations import Mined
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType, Message
from gateway_tuning.feedback.votes import vote_of

SubjectOf = Callable[[str | None], str | None]

REASONS = {
    "text_without_rating": "free text without a rating",
    "no_signal": "neither rates nor corrects the answer",
    "reformulation_without_answer": "the second wording has no answer",
    "reformulation_not_satisfied": "the second answer did not satisfy either",
    "reformulation_repeats_itself": "the second wording changed nothing",
}


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote on an answer, from -1 to 1 and never 0. `shows` tells a thumb up, which makes an answer an example."""

    context: Context
    answer: str
    source: Source
    rater: str
    score: float
    shows: bool


@dataclass(frozen=True, slots=True)
class Said:
    """`code` is one of `REASONS`: why the record comes to nothing, where nothing takes it up."""

    source: Source
    drafts: tuple[Draft, ...]
    ballot: Ballot | None
    code: str


def read(record: FeedbackRecord, subject_of: SubjectOf) -> Said:
    """Of an anonymized record."""
    source, context = source_of(record, subject_of), _context(record, record.prompt)
    drafts: list[Draft] = []
    if record.corrected_response:
        corrected = record.corrected_response
        drafts += [
            Draft(ExampleKind.DEMONSTRATION, context, corrected, corrected=True, sources=[source]),
            Draft(
                ExampleKind.PREFERENCE, context, corrected, record.response, corrected=True, sources=[source]
            ),
        ]
    if record.type is FeedbackType.REFORMULATION:
        more, code = _reformulation(record, context, source)
        return Said(source, (*drafts, *more), None, code)
    score = vote_of(record)
    ballot = None
    if score is not None:
        shows = record.type is FeedbackType.THUMBS_UP
        ballot = Ballot(context, record.response, source, _rater(source), score, shows)
    code = "text_without_rating" if record.type is FeedbackType.TEXT else "no_signal"
    return Said(source, tuple(drafts), ballot, code)


def read_mined(mined: Mined, anonymized: FeedbackRecord, subject_of: SubjectOf) -> tuple[Draft, ...]:
    """The second wording's demonstration is stated by the second record itself."""
    sources = [source_of(record, subject_of) for record in (mined.first, mined.second)]
    answer = anonymized.reformulated_response or ""
    if not answer or answer == anonymized.response:  # the difference was in what is masked
        return ()
    context = _context(anonymized, anonymized.prompt)
    return (
        Draft(
            ExampleKind.PREFERENCE,
            context,
            answer,
            anonymized.response,
            confidence=mined.confidence,
            sources=sources,
        ),
    )


def source_of(record: FeedbackRecord, subject_of: SubjectOf) -> Source:
    conversation = (
        None if record.conversation_id is None else subject_of(f"conversation\x1f{record.conversation_id}")
    )
    return Source(
        record.tenant, record.id, record.type, record.timestamp, subject_of(record.user_id), conversation
    )


def _rater(source: Source) -> str:
    """Without a user each record is a rater of its own, as in the gateway."""
    owner = (
        f"subject\x1f{source.subject}" if source.subject is not None else f"record\x1f{source.feedback_id}"
    )
    return f"{source.tenant}\x1f{owner}"


def _reformulation(record: FeedbackRecord, context: Context, source: Source) -> tuple[list[Draft], str]:
    if not record.reformulated_response:
        return [], "reformulation_without_answer"
    if record.satisfaction_score is not None and record.satisfaction_score < 0:
        return [], "reformulation_not_satisfied"
    answer, drafts = record.reformulated_response, list[Draft]()
    if answer != record.response:
        drafts.append(Draft(ExampleKind.PREFERENCE, context, answer, record.response, sources=[source]))
    if record.reformulated_prompt:
        # What the tools gave was asked for by the first wording.
        second = _context(record.model_copy(update={"turns": None}), record.reformulated_prompt)
        drafts.append(Draft(ExampleKind.DEMONSTRATION, second, answer, sources=[source]))
    return drafts, "reformulation_repeats_itself"


def _context(record: FeedbackRecord, prompt: str) -> Context:
    system = [Turn("system", record.system_prompt)] if record.system_prompt else []
    messages = (*system, *_turns(record.history), Turn("user", prompt), *_turns(record.turns or ()))
    tools = tuple(json.dumps(tool, ensure_ascii=False, sort_keys=True) for tool in record.tools or ())
    return Context(messages, tools)


def _turns(messages: Sequence[Message]) -> list[Turn]:
    return [
        Turn(
            message.role,
            message.content,
            tuple(ToolCall(call.id, call.name, call.arguments) for call in message.tool_calls or ()),
            message.tool_call_id,
        )
        for message in messages
    ]
