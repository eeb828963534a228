"""FeedbackQA for `metrics.py`: questions, the passages that answer them, and what two readers thought of each.

Nobody wrote a preferred answer. Where one is needed, it is another passage for the same question, the one that readers
liked best, and only where they liked it well (at least one "Excellent" and one "Acceptable"): the answer's own rating
has no part in the choice. Constants of our metrics were chosen on WHO's pages; figures are of the other three sites.
"""

import json
import random
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway_tuning.evaluation.scoring.protocol import Item

DATA = Path(__file__).parents[2] / "shared" / "data" / "feedbackqa"
PARTS = {
    "tuning": ("WHO_train", "WHO_valid"),
    "report": ("Australia_valid", "CDC_valid", "UK_valid"),
}
_POINTS = {"Excellent": 3, "Acceptable": 2, "Could be Improved": 1, "Bad": 0}
_WELL_LIKED = 2.5
_DROPPED = 0.2  # share of the words that a retelling loses
_FEWEST_WORDS = 12


@dataclass(frozen=True, slots=True)
class Passage:
    text: str
    rating: float  # mean of the readers, 0 to 3


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer as metrics see it; `baseline` is what plain word overlap compares it with."""

    group: str
    item: Item
    baseline: Item
    rating: float


def read_questions(part: str) -> dict[str, list[Passage]]:
    """Passages by question, which is told with its site."""
    found: dict[str, list[Passage]] = {}
    for name in PARTS[part]:
        for row in json.loads((DATA / f"{name}.json").read_text(encoding="utf-8")):
            text = row["passage"]["reference"]["section_content"].strip()
            rating = statistics.mean(_POINTS[one] for one in row["rating"])
            passages = found.setdefault(f"{name}\n{row['question']}", [])
            if text not in {passage.text for passage in passages}:
                passages.append(Passage(text, rating))
    return found


def prompt_of(question: str) -> str:
    return question.split("\n", 1)[1]


def with_reference(questions: dict[str, list[Passage]]) -> Iterator[Rated]:
    for question, passages in questions.items():
        for at, passage in enumerate(passages):
            others = [other for number, other in enumerate(passages) if number != at]
            best = max(others, key=lambda other: other.rating, default=None)
            if best is not None and best.rating >= _WELL_LIKED:
                item = Item(prompt_of(question), passage.text, best.text)
                yield Rated(question, item, item, passage.rating)


def with_context(questions: dict[str, list[Passage]]) -> Iterator[Rated]:
    """The other passages, liked or not, are what a search brought; there is no preferred answer."""
    for question, passages in questions.items():
        for at, passage in enumerate(passages):
            context = "\n\n".join(other.text for number, other in enumerate(passages) if number != at)
            if context:
                prompt = prompt_of(question)
                yield Rated(
                    question,
                    Item(prompt, passage.text, None, context),
                    Item(prompt, passage.text, context),
                    passage.rating,
                )


def with_nothing(questions: dict[str, list[Passage]]) -> Iterator[Rated]:
    """Neither reference nor context: overlap is with the question."""
    for question, passages in questions.items():
        for passage in passages:
            prompt = prompt_of(question)
            yield Rated(
                question, Item(prompt, passage.text, None), Item(prompt, passage.text, prompt), passage.rating
            )


@dataclass(frozen=True, slots=True)
class Retold:
    """One passage told twice with losses of their own, once with a mistake. `source` is the passage."""

    group: str
    true: Item
    false: Item


def retold(questions: dict[str, list[Passage]], kind: str, seed: int) -> Iterator[Retold]:
    """Errors of one kind, planted by rules of this file, which share nothing with the metric's.

    Half of a passage's sentences are told, each without a fifth of its words; the mistaken one is told in both. So
    wording alone does not tell which is which.
    """
    names = sorted({name for passages in questions.values() for one in passages for name in _names(one.text)})
    for question, passages in questions.items():
        for passage in passages:
            chance = random.Random(f"{seed}\n{kind}\n{question}\n{passage.text}")  # noqa: S311 - no secret
            sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(passage.text.split()))
            damaged = [(at, _damaged(one, kind, names, chance)) for at, one in enumerate(sentences)]
            possible = [(at, new) for at, new in damaged if new is not None]
            if not possible:
                continue
            at, (words, kept) = chance.choice(possible)
            told = [one for number, one in enumerate(sentences) if number != at]
            prompt = prompt_of(question)
            true, false = (
                " ".join([*_some(told, chance), _with_losses(sentence, kept, chance)])
                for sentence in (sentences[at].split(), words)
            )
            yield Retold(question, Item(prompt, true, passage.text), Item(prompt, false, passage.text))


Damage = tuple[list[str], frozenset[int]]


def _damaged(sentence: str, kind: str, names: Sequence[str], chance: random.Random) -> Damage | None:
    """Words with the mistake, and the places that no retelling loses; None where there is nothing to get wrong."""
    words = sentence.split()
    if len(words) < _FEWEST_WORDS:
        return None
    places = [at for at, word in enumerate(words) if at and _FITS[kind].fullmatch(word)]
    if not places:
        return None
    at = chance.choice(places)
    word = words[at]
    if kind == "number":
        number = int(re.sub(r"\D", "", word))
        other = str(chance.choice([max(2, number // 2), number + chance.randint(1, 9), number * 3]))
        changed = [re.sub(r"\d[\d,]*", other if other != str(number) else str(number + 1), word)]
    elif kind == "name":
        others = [name for name in names if name != _bare(word)]
        changed = [word.replace(_bare(word), chance.choice(others))]
    elif words[at + 1 : at + 2] == ["not"]:
        return [*words[: at + 1], *words[at + 2 :]], frozenset({at, at + 1})
    else:
        changed = [word, "not"]
    return [*words[:at], *changed, *words[at + 1 :]], frozenset({at, at + 1})


_FITS = {
    "number": re.compile(r"\d{1,3}(?:,\d{3})*|\d{1,6}"),
    "negation": re.compile(r"is|are|can|should|must|will|may|does|do|has|have"),
    "name": re.compile(r"[A-Z][a-z]{3,}[.,;:]?"),
}
KINDS = tuple(_FITS)


def _names(text: str) -> set[str]:
    return {_bare(word) for word in re.findall(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b", text)}


def _bare(word: str) -> str:
    return word.rstrip(".,;:")


def _some(sentences: Sequence[str], chance: random.Random) -> Iterator[str]:
    for sentence in sentences:
        if chance.random() < 0.5:  # noqa: PLR2004 - half of them
            yield _with_losses(sentence.split(), frozenset(), chance)


def _with_losses(words: Sequence[str], kept: frozenset[int], chance: random.Random) -> str:
    return " ".join(word for at, word in enumerate(words) if at in kept or chance.random() >= _DROPPED)
