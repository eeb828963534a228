"""Statements brought together: equal examples are one, raters of one answer are heard once each. Pure.

| votes | give |
|---|---|
| an answer that most of its raters like | labelled answer, desirable; demonstration where one of them gave a thumb |
| an answer that most of them dislike | labelled answer, undesirable |
| rival answers to one context | preference pairs |

What raters say of one answer is resolved by `feedback.votes`: the outvoted speak for nothing, and a tie is no label.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway_tuning.datasets.draft import Context, Draft, Source, joined
from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.statements import REASONS, Ballot
from gateway_tuning.feedback.votes import Verdict, Vote, resolve

OUTVOTED, TIED, SUPERSEDED = "outvoted", "conflicting_ratings", "superseded_vote"


@dataclass(frozen=True, slots=True)
class Choice:
    """What became of a record. `code` is counted where it is left out; `reason` explains, also where it is used."""

    is_used: bool
    code: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """`lost` has code and reason of each vote that decides nothing, by the key of its record."""

    drafts: tuple[Draft, ...]
    lost: dict[str, tuple[str, str]]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class _Rated:
    """One answer with what its raters decided."""

    context: Context
    answer: str
    verdict: Verdict
    ballots: dict[str, Ballot]  # by the key of their source

    @property
    def winners(self) -> list[Ballot]:
        return [self.ballots[vote.key] for vote in self.verdict.winners]

    @property
    def sources(self) -> list[Source]:
        return [ballot.source for ballot in self.winners]


def select(
    drafts: Iterable[Draft], ballots: Iterable[Ballot], *, max_pairs_per_prompt: int, min_rating_gap: float
) -> Selection:
    """Of all that was said in some contexts: who leaves out a statement in one of them gets another result.

    Drafts are ordered by id; equal examples from several records are one draft with all its sources.
    """
    cast: dict[tuple[Context, str], list[Ballot]] = defaultdict(list)
    for ballot in ballots:
        cast[ballot.context, ballot.answer].append(ballot)
    rated = [_rate(context, answer, given) for (context, answer), given in cast.items()]
    found = joined([*drafts, *_from_votes(rated), *_from_rivals(rated, max_pairs_per_prompt, min_rating_gap)])
    return Selection(
        drafts=tuple(found),
        lost={key: (code, reason) for one in rated for key, code, reason in _lost_votes(one.verdict)},
        verdicts=tuple(one.verdict for one in rated),
    )


def decide(
    code: str, *, is_used: bool, lost_vote: tuple[str, str] | None, rejection: tuple[str, str] | None
) -> Choice:
    """What became of a record, from everything that was decided on it.

    Args:
        code: of its statement, see `statements.REASONS`.
        is_used: whether an example of the dataset is made of it.
        lost_vote: code and reason, where its vote decides nothing.
        rejection: code and reason, where an example made of it was kept out.
    """
    if is_used:
        return Choice(True, code, None if lost_vote is None else f"{lost_vote[1]}; its correction is used")
    told = lost_vote or rejection or (code, REASONS[code])
    return Choice(False, *told)


def _rate(context: Context, answer: str, given: Sequence[Ballot]) -> _Rated:
    votes = [Vote(ballot.source.key, ballot.rater, ballot.score, ballot.source.at) for ballot in given]
    return _Rated(context, answer, resolve(votes), {ballot.source.key: ballot for ballot in given})


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


def _from_votes(rated: Sequence[_Rated]) -> Iterator[Draft]:
    for one in rated:
        score = one.verdict.score
        if score is None:
            continue
        yield Draft(ExampleKind.LABELLED, one.context, one.answer, desirable=score > 0, sources=one.sources)
        if score > 0 and any(ballot.shows for ballot in one.winners):
            yield Draft(ExampleKind.DEMONSTRATION, one.context, one.answer, sources=one.sources)


def _from_rivals(rated: Sequence[_Rated], max_pairs: int, min_gap: float) -> Iterator[Draft]:
    scores: dict[Context, dict[str, float]] = defaultdict(dict)
    sources: dict[tuple[Context, str], list[Source]] = {}
    for one in rated:
        if one.verdict.score is not None:
            scores[one.context][one.answer] = one.verdict.score
            sources[one.context, one.answer] = one.sources
    for context, rivals in scores.items():
        for better, worse in _rival_pairs(rivals, min_gap)[:max_pairs]:
            both = [*sources[context, better], *sources[context, worse]]
            yield Draft(ExampleKind.PREFERENCE, context, better, worse, sources=both)


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
