"""Votes on answers: one a rater, the majority decides, and how far raters agree. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType


@dataclass(frozen=True, slots=True)
class Vote:
    """A rating of an answer from -1 to 1, never 0. `key` names the record, `rater` who gave it."""

    key: str
    rater: str
    score: float
    at: datetime

    @property
    def is_up(self) -> bool:
        return self.score > 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the raters of one answer decided. Every vote is in one of the three tuples; a tie has no winners."""

    winners: tuple[Vote, ...]
    losers: tuple[Vote, ...]
    superseded: tuple[Vote, ...]

    @property
    def score(self) -> float | None:
        """Mean of the winning votes; None for a tie."""
        return fmean(vote.score for vote in self.winners) if self.winners else None

    @property
    def counted(self) -> tuple[Vote, ...]:
        return (*self.winners, *self.losers)


@dataclass(frozen=True, slots=True)
class RaterAgreement:
    """On how many answers the rest of the raters had a majority, and how often the rater was with it."""

    compared: int
    agreed: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Over the answers with at least two raters. What cannot be told is None or absent.

    `by_answer` holds the share of agreeing pairs of raters by the key of the answer's first record.
    """

    by_answer: dict[str, float]
    by_rater: dict[str, RaterAgreement]
    units: tuple[tuple[int, int], ...]  # ups and downs of each answer

    @property
    def alpha(self) -> float | None:
        return krippendorff_alpha(self.units)

    @property
    def share(self) -> float | None:
        return fmean(self.by_answer.values()) if self.by_answer else None


def resolve(votes: Iterable[Vote]) -> Verdict:
    """The latest vote of each rater counts; more raters up or down decide, and equally many decide nothing."""
    latest: dict[str, Vote] = {}
    superseded = []
    for vote in sorted(votes, key=lambda vote: (vote.at, vote.key)):
        if vote.rater in latest:
            superseded.append(latest[vote.rater])
        latest[vote.rater] = vote
    counted = sorted(latest.values(), key=lambda vote: vote.key)
    ups, downs = [vote for vote in counted if vote.is_up], [vote for vote in counted if not vote.is_up]
    if len(ups) == len(downs):
        return Verdict((), tuple(counted), tuple(superseded))
    winners, losers = (ups, downs) if len(ups) > len(downs) else (downs, ups)
    return Verdict(tuple(winners), tuple(losers), tuple(superseded))


def agreement(verdicts: Iterable[Verdict]) -> Agreement:
    by_answer: dict[str, float] = {}
    units: list[tuple[int, int]] = []
    compared: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for verdict in verdicts:
        counted = verdict.counted
        if len(counted) < 2:  # noqa: PLR2004 - a pair of raters
            continue
        ups = sum(vote.is_up for vote in counted)
        downs = len(counted) - ups
        units.append((ups, downs))
        pairs = len(counted) * (len(counted) - 1)
        by_answer[min(vote.key for vote in counted)] = (ups * (ups - 1) + downs * (downs - 1)) / pairs
        for vote in counted:
            lead = ups - downs - (1 if vote.is_up else -1)  # of the others
            if lead:
                compared[vote.rater] += 1
                agreed[vote.rater] += (lead > 0) == vote.is_up
    by_rater = {rater: RaterAgreement(compared[rater], agreed[rater]) for rater in sorted(compared)}
    return Agreement(dict(sorted(by_answer.items())), by_rater, tuple(units))


def joined(parts: Iterable[Agreement]) -> Agreement:
    """Of different answers, as if all of them had been looked at together."""
    by_answer: dict[str, float] = {}
    units: list[tuple[int, int]] = []
    compared: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for part in parts:
        by_answer |= part.by_answer
        units += part.units
        for rater, own in part.by_rater.items():
            compared[rater] += own.compared
            agreed[rater] += own.agreed
    by_rater = {rater: RaterAgreement(compared[rater], agreed[rater]) for rater in sorted(compared)}
    return Agreement(dict(sorted(by_answer.items())), by_rater, tuple(sorted(units)))


def krippendorff_alpha(units: Sequence[tuple[int, int]]) -> float | None:
    """Agreement beyond chance: 1 is perfect, 0 is chance, below 0 is worse.

    Nominal alpha for two categories, for any number of raters a unit: Krippendorff, "Computing Krippendorff's
    Alpha-Reliability" (2011), section C. None without a unit of two raters, or when all votes are alike: then
    nothing tells agreement from habit.

    Args:
        units: ups and downs of each answer; those with one vote count for nothing.
    """
    totals: dict[bool, int] = defaultdict(int)
    disagreement = 0.0
    for ups, downs in units:
        if ups + downs > 1:
            totals[True] += ups
            totals[False] += downs
            disagreement += 2 * ups * downs / (ups + downs - 1)
    expected = 2 * totals[True] * totals[False]
    if not expected:
        return None
    return 1 - (totals[True] + totals[False] - 1) * disagreement / expected


def vote_of(record: FeedbackRecord) -> float | None:
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
