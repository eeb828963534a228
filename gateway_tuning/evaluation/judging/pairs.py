"""What a judge is asked about: which examples, and which people's preferences. Pure."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from gateway_tuning.datasets.example import Example, ExampleKind
from gateway_tuning.evaluation.judging.asking.prompt import conversation
from gateway_tuning.evaluation.judging.verdict import Pair
from gateway_tuning.evaluation.scored import Role, ScoredExample
from gateway_tuning.evaluation.scoring.protocol import Score

T = TypeVar("T")


def chosen(scored: Sequence[ScoredExample], against: Role, *, most: int, seed: int) -> list[ScoredExample]:
    """Of the examples that both systems were asked, at most `most`, the same ones in every run and in the same order."""
    both = [each for each in scored if {Role.CANDIDATE, against} <= each.answers.keys()]
    return _draw(both, lambda each: each.example.id, most, seed)


def without_judge(scored: ScoredExample, against: Role) -> Score | None:
    """What needs no judge: an answer that did not come, or twice the same. None: somebody must compare them."""
    ours, theirs = scored.answers[Role.CANDIDATE].text, scored.answers[against].text
    if ours is None or theirs is None:
        came = [role.value for role, text in ((Role.CANDIDATE, ours), (against, theirs)) if text is not None]
        said = f"only the answer of {came[0]} came" if came else "neither answer came"
        return Score((1 + (ours is not None) - (theirs is not None)) / 2, (said,))
    return Score(0.5, ("both answers are the same",)) if ours.strip() == theirs.strip() else None


def pair_of(scored: ScoredExample, against: Role) -> Pair:
    """Raises ValueError where an answer did not come: `without_judge` knows those."""
    ours, theirs = scored.answers[Role.CANDIDATE].text, scored.answers[against].text
    if ours is None or theirs is None:
        raise ValueError(f"Example {scored.example.id} has no two answers to compare")
    example = scored.example
    said = conversation(example.messages)
    return Pair(example.id, example.group_id, said, ours, theirs, reference=example.answer or None)


def human_labels(examples: Iterable[Example]) -> list[Example]:
    """Preferences of the test split that people stated: not inferred, not a machine's, and between two answers."""
    return [
        each
        for each in examples
        if each.kind is ExampleKind.PREFERENCE
        and each.split == "test"
        and each.confidence is None
        and each.augmented_from is None
        and "automatic_evaluation" not in each.feedback_types
        and each.rejected is not None
        and each.rejected.strip() != each.answer.strip()
    ]


def label_pairs(examples: Iterable[Example], *, most: int, seed: int) -> list[Pair]:
    """Of `human_labels`, with the chosen answer as ours, and without a reference: that would be the chosen answer."""
    return [
        Pair(each.id, each.group_id, conversation(each.messages), each.answer, each.rejected or "")
        for each in _draw(human_labels(examples), lambda each: each.id, most, seed)
    ]


def _draw(items: Iterable[T], name: Callable[[T], str], most: int, seed: int) -> list[T]:
    def rank(item: T) -> str:
        return hashlib.sha256(f"judge:{seed}:{name(item)}".encode()).hexdigest()

    return sorted(items, key=rank)[:most]
