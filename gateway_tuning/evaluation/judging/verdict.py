"""What is asked of a judge, what it says, and what both orders together mean. Pure."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """By the place where the better answer was shown."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"


@dataclass(frozen=True, slots=True)
class Question:
    """Two answers to one conversation, in the order in which they are shown. `reference` is an answer known to be good."""

    conversation: str
    first: str
    second: str
    reference: str | None

    def key(self, model: str, prompt_version: str, rubric: str) -> str:
        """Under which its judgement is kept: SHA-256, in hex, of everything that the judge is told."""
        told = [model, prompt_version, rubric, self.conversation, self.first, self.second, self.reference]
        return hashlib.sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to be compared. Pairs with the same `group` are of one user or conversation, and not independent."""

    id: str
    group: str
    conversation: str
    ours: str
    theirs: str
    reference: str | None = None

    @property
    def questions(self) -> tuple[Question, Question]:
        """Ours shown first, and ours shown second."""
        return (
            Question(self.conversation, self.ours, self.theirs, self.reference),
            Question(self.conversation, self.theirs, self.ours, self.reference),
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """Token counts are the server's; None where it told none."""

    verdict: Verdict
    reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """No verdict. `was_asked` is false where the run had ended before."""

    reason: str
    was_asked: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one pair: with ours shown first, and with ours shown second."""

    pair: Pair
    ours_first: Judgement | Failed
    ours_second: Judgement | Failed

    @property
    def judgements(self) -> tuple[Judgement, Judgement] | None:
        """None unless both orders were judged."""
        if isinstance(self.ours_first, Failed) or isinstance(self.ours_second, Failed):
            return None
        return self.ours_first, self.ours_second

    @property
    def was_asked(self) -> bool:
        return all(failed.was_asked for failed in self.failures)

    @property
    def failures(self) -> Iterator[Failed]:
        return (each for each in (self.ours_first, self.ours_second) if isinstance(each, Failed))

    @property
    def preference(self) -> float | None:
        """1: ours is better in both orders. 0: theirs is. 0.5: a tie, or the orders disagree. None: not judged."""
        if self.judgements is None:
            return None
        first, second = self.judgements
        for_ours = (first.verdict is Verdict.FIRST, second.verdict is Verdict.SECOND)
        for_theirs = (first.verdict is Verdict.SECOND, second.verdict is Verdict.FIRST)
        return 1.0 if all(for_ours) else 0.0 if all(for_theirs) else 0.5

    @property
    def is_contradicted(self) -> bool:
        """The order alone changed the verdict, be it to a tie."""
        if self.judgements is None:
            return False
        swapped = {Verdict.FIRST: Verdict.SECOND, Verdict.SECOND: Verdict.FIRST, Verdict.TIE: Verdict.TIE}
        first, second = self.judgements
        return second.verdict is not swapped[first.verdict]
