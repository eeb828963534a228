"""Turn anonymized feedback into examples, or leave it out for a counted reason. Pure.

| feedback | gives |
|---|---|
| correction, or any rating with a corrected answer | demonstration of the corrected answer, preference over the given one |
| thumbs up | labelled answer; demonstration when the votes on that answer are positive |
| thumbs down | labelled answer |
| automatic evaluation, text with a score | labelled answer by the sign of the score |
| reformulation that was answered | preference for the second answer on the first wording, demonstration on the second |
| rival answers to one prompt | preference pairs, from the votes of all their ratings |
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from statistics import fmean

from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType

Messages = tuple[Turn, ...]


@dataclass(slots=True)
class Draft:
    """An example before it has a group and a split, with the records that speak for it."""

    kind: ExampleKind
    messages: Messages
    answer: str
    rejected: str | None = None
    desirable: bool | None = None
    sources: list[FeedbackRecord] = field(default_factory=list)

    @property
    def id(self) -> str:
        parts = [self.kind.value, repr(self.desirable), self.answer, self.rejected or ""]
        parts += [f"{turn.role}\x1f{turn.content}" for turn in self.messages]
        return sha256("\x1e".join(parts).encode()).hexdigest()[:24]

    @property
    def last_feedback_at(self) -> datetime:
        return max(record.timestamp for record in self.sources)


@dataclass(frozen=True, slots=True)
class Selection:
    """`used` and `left_out` together count every record once."""

    drafts: tuple[Draft, ...]
    used: int
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Vote:
    score: float
    record: FeedbackRecord


_Votes = dict[tuple[Messages, str], list[_Vote]]


def select(
    records: Iterable[FeedbackRecord], *, max_pairs_per_prompt: int, min_rating_gap: float
) -> Selection:
    """Drafts ordered by id; equal examples from several records are one draft with all its sources."""
    drafts = _Drafts()
    votes: _Votes = defaultdict(list)
    reasons: dict[str, str] = {}  # record key -> why it is left out unless a draft takes it up
    for record in records:
        reasons[_key(record)] = _take_record(record, drafts, votes)
    for cast in votes.values():
        if _mean(cast) == 0:
            reasons.update({_key(vote.record): "conflicting_ratings" for vote in cast})
    _take_votes(votes, drafts)
    _take_rivals(votes, drafts, max_pairs_per_prompt, min_rating_gap)

    left_out = Counter(reason for key, reason in reasons.items() if key not in drafts.taken)
    return Selection(
        drafts=tuple(drafts.by_id[id_] for id_ in sorted(drafts.by_id)),
        used=len(reasons) - left_out.total(),
        left_out=dict(sorted(left_out.items())),
    )


@dataclass(slots=True)
class _Drafts:
    by_id: dict[str, Draft] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)  # keys of the records in them

    def add(self, draft: Draft, *sources: FeedbackRecord) -> None:
        kept = self.by_id.setdefault(draft.id, draft)
        known = {_key(record) for record in kept.sources}
        kept.sources += [record for record in sources if _key(record) not in known]
        self.taken.update(_key(record) for record in sources)


def _take_record(record: FeedbackRecord, drafts: _Drafts, votes: _Votes) -> str:
    """Use what the record says by itself and keep its vote; the reason tells why it may come to nothing."""
    messages = _messages(record, record.prompt)
    if record.corrected_response:
        drafts.add(Draft(ExampleKind.DEMONSTRATION, messages, record.corrected_response), record)
        drafts.add(
            Draft(ExampleKind.PREFERENCE, messages, record.corrected_response, record.response), record
        )
    if record.type is FeedbackType.REFORMULATION:
        return _take_reformulation(record, messages, drafts)
    score = _score(record)
    if score is not None:
        votes[messages, record.response].append(_Vote(score, record))
    return "text_without_rating" if record.type is FeedbackType.TEXT else "no_signal"


def _take_votes(votes: _Votes, drafts: _Drafts) -> None:
    for (messages, answer), cast in votes.items():
        mean, sources = _mean(cast), [vote.record for vote in cast]
        if mean == 0:
            continue
        drafts.add(Draft(ExampleKind.LABELLED, messages, answer, desirable=mean > 0), *sources)
        if mean > 0 and any(record.type is FeedbackType.THUMBS_UP for record in sources):
            drafts.add(Draft(ExampleKind.DEMONSTRATION, messages, answer), *sources)


def _take_rivals(votes: _Votes, drafts: _Drafts, max_pairs: int, min_gap: float) -> None:
    means: dict[Messages, dict[str, float]] = defaultdict(dict)
    for (messages, answer), cast in votes.items():
        means[messages][answer] = _mean(cast)
    for messages, rivals in means.items():
        for better, worse in _rival_pairs(rivals, min_gap)[:max_pairs]:
            sources = [vote.record for answer in (better, worse) for vote in votes[messages, answer]]
            drafts.add(Draft(ExampleKind.PREFERENCE, messages, better, worse), *sources)


def _take_reformulation(record: FeedbackRecord, messages: Messages, drafts: _Drafts) -> str:
    """The two turns of the pair become examples; otherwise the reason why not."""
    if not record.reformulated_response:
        return "reformulation_without_answer"
    if record.satisfaction_score is not None and record.satisfaction_score < 0:
        return "reformulation_not_satisfied"
    answer = record.reformulated_response
    if answer != record.response:
        drafts.add(Draft(ExampleKind.PREFERENCE, messages, answer, record.response), record)
    if record.reformulated_prompt:
        drafts.add(
            Draft(ExampleKind.DEMONSTRATION, _messages(record, record.reformulated_prompt), answer), record
        )
    return "reformulation_repeats_itself"


def _mean(cast: list[_Vote]) -> float:
    return fmean(vote.score for vote in cast)


def _score(record: FeedbackRecord) -> float | None:
    """The record's vote on its answer in [-1, 1]; None when it casts none. A thumb counts even without a score."""
    match record.type:
        case FeedbackType.THUMBS_UP:
            return 1.0 if record.satisfaction_score is None else max(record.satisfaction_score, 0.0) or 1.0
        case FeedbackType.THUMBS_DOWN:
            return -1.0 if record.satisfaction_score is None else min(record.satisfaction_score, 0.0) or -1.0
        case FeedbackType.TEXT | FeedbackType.AUTOMATIC_EVALUATION:
            return record.satisfaction_score or None
        case _:
            return None


def _rival_pairs(rivals: dict[str, float], min_gap: float) -> list[tuple[str, str]]:
    """Pairs (better, worse), widest gap first. The better answer must be liked: the lesser evil is no model."""
    pairs = [
        (rivals[better] - rivals[worse], better, worse)
        for better in rivals
        for worse in rivals
        if rivals[better] > 0 and rivals[better] - rivals[worse] >= min_gap
    ]
    return [
        (better, worse) for _, better, worse in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))
    ]


def _messages(record: FeedbackRecord, prompt: str) -> Messages:
    system = [Turn("system", record.system_prompt)] if record.system_prompt else []
    history = [Turn(message.role, message.content) for message in record.history]
    return (*system, *history, Turn("user", prompt))


def _key(record: FeedbackRecord) -> str:
    return f"{record.tenant}\x1f{record.id}"


def texts(record: FeedbackRecord) -> dict[str, str]:
    """The texts of a record that can reach an example, by field name: these must be anonymized together.

    Numbering follows this order: first the conversation, then the answers.
    """
    fields: dict[str, str | None] = {"system_prompt": record.system_prompt}
    fields |= {f"history.{index}": message.content for index, message in enumerate(record.history)}
    fields |= {
        "prompt": record.prompt,
        "response": record.response,
        "corrected_response": record.corrected_response,
        "reformulated_prompt": record.reformulated_prompt,
        "reformulated_response": record.reformulated_response,
    }
    return {name: text for name, text in fields.items() if text}


def with_texts(record: FeedbackRecord, fields: dict[str, str]) -> FeedbackRecord:
    """The record with its texts replaced; every other free text is removed, as nobody anonymized it."""
    missing = texts(record).keys() - fields.keys()
    if missing:
        raise ValueError(f"Record {record.id} lacks anonymized text for {sorted(missing)}")
    history = tuple(
        message.model_copy(update={"content": fields.get(f"history.{index}", "")})
        for index, message in enumerate(record.history)
    )
    plain = {name: text for name, text in fields.items() if not name.startswith("history.")}
    removed: dict[str, object] = {"comment": None, "metadata": {}, "user_context": (), "request": None}
    return record.model_copy(update={**plain, **removed, "history": history})


def newest(records: Sequence[FeedbackRecord], limit: int) -> list[FeedbackRecord]:
    """At most `limit` records, the newest by event time; ties go by id, so that the choice is repeatable."""
    ordered = sorted(records, key=lambda record: (record.timestamp, record.tenant, record.id))
    return ordered[max(0, len(ordered) - limit) :]
