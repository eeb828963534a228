"""Turn anonymized feedback into examples, or leave it out for a counted reason. Pure.

| feedback | gives |
|---|---|
| correction, or any rating with a corrected answer | demonstration of the corrected answer, preference over the given one |
| thumbs up | labelled answer; demonstration where the raters of that answer like it |
| thumbs down | labelled answer |
| automatic evaluation, text with a score | labelled answer by the sign of the score |
| reformulation that was answered | preference for the second answer on the first wording, demonstration on the second |
| rival answers to one prompt | preference pairs, from the votes on each |

What raters say of one answer is resolved by `feedback.votes`: the outvoted speak for nothing, and a tie is no label.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType
from gateway_tuning.feedback.trust import account
from gateway_tuning.feedback.votes import Agreement, Verdict, Vote, agreement, resolve, vote_of

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
class Choice:
    """What became of a record. `code` is counted where it is left out; `reason` explains, also where it is used."""

    is_used: bool
    code: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice for every record, by its (tenant, id)."""

    drafts: tuple[Draft, ...]
    choices: dict[tuple[str, str], Choice]
    agreement: Agreement

    @property
    def used(self) -> int:
        return sum(choice.is_used for choice in self.choices.values())

    @property
    def left_out(self) -> dict[str, int]:
        codes = Counter(choice.code for choice in self.choices.values() if not choice.is_used)
        return dict(sorted(codes.items()))


@dataclass(frozen=True, slots=True)
class _Rated:
    """One answer with what its raters decided."""

    messages: Messages
    answer: str
    verdict: Verdict
    records: dict[str, FeedbackRecord]  # by the key of their vote

    @property
    def sources(self) -> list[FeedbackRecord]:
        return [self.records[vote.key] for vote in self.verdict.winners]


_REASONS = {
    "text_without_rating": "free text without a rating",
    "no_signal": "neither rates nor corrects the answer",
    "reformulation_without_answer": "the second wording has no answer",
    "reformulation_not_satisfied": "the second answer did not satisfy either",
    "reformulation_repeats_itself": "the second wording changed nothing",
}
OUTVOTED, TIED, SUPERSEDED = "outvoted", "conflicting_ratings", "superseded_vote"


def select(
    records: Iterable[FeedbackRecord], *, max_pairs_per_prompt: int, min_rating_gap: float
) -> Selection:
    """Drafts ordered by id; equal examples from several records are one draft with all its sources."""
    drafts = _Drafts()
    votes: dict[tuple[Messages, str], list[FeedbackRecord]] = defaultdict(list)
    codes: dict[str, str] = {}  # why a record is left out unless a draft takes it up
    names: dict[str, tuple[str, str]] = {}
    for record in records:
        names[_key(record)] = (record.tenant, record.id)
        codes[_key(record)] = _take_record(record, drafts, votes)
    rated = [_rate(messages, answer, cast) for (messages, answer), cast in votes.items()]
    _take_votes(rated, drafts)
    _take_rivals(rated, drafts, max_pairs_per_prompt, min_rating_gap)

    lost = {key: (code, reason) for one in rated for key, code, reason in _lost_votes(one.verdict)}
    choices = {name: _choice(codes[key], lost.get(key), key in drafts.taken) for key, name in names.items()}
    return Selection(
        drafts=tuple(drafts.by_id[id_] for id_ in sorted(drafts.by_id)),
        choices=choices,
        agreement=agreement(one.verdict for one in rated),
    )


def _choice(code: str, lost: tuple[str, str] | None, is_used: bool) -> Choice:
    if lost is not None:
        return Choice(is_used, lost[0], f"{lost[1]}; its correction is used" if is_used else lost[1])
    return Choice(is_used, code, None if is_used else _REASONS[code])


def _rate(messages: Messages, answer: str, cast: Sequence[FeedbackRecord]) -> _Rated:
    votes = [
        Vote(_key(record), account(record), score, record.timestamp)
        for record in cast
        if (score := vote_of(record)) is not None
    ]
    return _Rated(messages, answer, resolve(votes), {_key(record): record for record in cast})


def _lost_votes(verdict: Verdict) -> Iterator[tuple[str, str, str]]:
    """Key, code and reason of each vote that decides nothing."""
    losers, raters = len(verdict.losers), len(verdict.counted)
    for vote in verdict.losers:
        if verdict.winners:
            yield vote.key, OUTVOTED, f"outvoted: {losers} of {raters} raters"
        else:
            yield vote.key, TIED, f"tied: {raters // 2} of {raters} raters each way"
    for vote in verdict.superseded:
        yield vote.key, SUPERSEDED, "superseded by a later vote of the same rater"


@dataclass(slots=True)
class _Drafts:
    by_id: dict[str, Draft] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)  # keys of the records in them

    def add(self, draft: Draft, *sources: FeedbackRecord) -> None:
        kept = self.by_id.setdefault(draft.id, draft)
        known = {_key(record) for record in kept.sources}
        kept.sources += [record for record in sources if _key(record) not in known]
        self.taken.update(_key(record) for record in sources)


def _take_record(
    record: FeedbackRecord, drafts: _Drafts, votes: dict[tuple[Messages, str], list[FeedbackRecord]]
) -> str:
    """Use what the record says by itself and keep its vote; the reason tells why it may come to nothing."""
    messages = _messages(record, record.prompt)
    if record.corrected_response:
        drafts.add(Draft(ExampleKind.DEMONSTRATION, messages, record.corrected_response), record)
        drafts.add(
            Draft(ExampleKind.PREFERENCE, messages, record.corrected_response, record.response), record
        )
    if record.type is FeedbackType.REFORMULATION:
        return _take_reformulation(record, messages, drafts)
    if vote_of(record) is not None:
        votes[messages, record.response].append(record)
    return "text_without_rating" if record.type is FeedbackType.TEXT else "no_signal"


def _take_votes(rated: Sequence[_Rated], drafts: _Drafts) -> None:
    for one in rated:
        score = one.verdict.score
        if score is None:
            continue
        drafts.add(Draft(ExampleKind.LABELLED, one.messages, one.answer, desirable=score > 0), *one.sources)
        if score > 0 and any(record.type is FeedbackType.THUMBS_UP for record in one.sources):
            drafts.add(Draft(ExampleKind.DEMONSTRATION, one.messages, one.answer), *one.sources)


def _take_rivals(rated: Sequence[_Rated], drafts: _Drafts, max_pairs: int, min_gap: float) -> None:
    scores: dict[Messages, dict[str, float]] = defaultdict(dict)
    sources: dict[tuple[Messages, str], list[FeedbackRecord]] = {}
    for one in rated:
        if one.verdict.score is not None:
            scores[one.messages][one.answer] = one.verdict.score
            sources[one.messages, one.answer] = one.sources
    for messages, rivals in scores.items():
        for better, worse in _rival_pairs(rivals, min_gap)[:max_pairs]:
            both = [*sources[messages, better], *sources[messages, worse]]
            drafts.add(Draft(ExampleKind.PREFERENCE, messages, better, worse), *both)


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
