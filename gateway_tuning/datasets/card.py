"""The card of a dataset: what is in it, in one pass over its parts. A part is held at a time, and counts.

A card is made when it is asked for and is no object of the dataset, which nothing is ever added to.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from gateway_tuning.datasets.describing.lengths import Lengths, lengths
from gateway_tuning.datasets.describing.topics import Topic, Topics, function_words
from gateway_tuning.datasets.example import Example, ExampleKind
from gateway_tuning.datasets.lineage import DatasetLineage
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.datasets.splits import TRAIN

SAMPLES, SAMPLE_CHARACTERS = 3, 200  # of a kind; of each text
SAMPLED_PROMPTS = 5000  # whose language is told and topics are learned, about
TOPICS = 20
UNTOLD = "not told"  # a language


@dataclass(frozen=True, slots=True)
class Sample:
    """Texts in one line and cut; they are anonymized as all texts of a dataset are."""

    kind: ExampleKind
    prompt: str
    answer: str
    rejected: str | None
    desirable: bool | None


@dataclass(frozen=True, slots=True)
class Card:
    """`lengths` are by what is measured, such as `prompt, words`. `languages` counts a sample of different prompts.

    `topics` counts the same sample, each topic by its heaviest words; there is none where too few words are shared.
    Samples are of the train split alone, so that a card gives away no test. `lineage` is None where nobody asked.
    """

    manifest: Manifest
    recipe_sha256: str
    examples: int
    prompts: int  # different ones
    oldest: datetime | None  # newest feedback behind an example
    newest: datetime | None
    shapes: tuple[tuple[str, int], ...]
    lengths: tuple[tuple[str, Lengths], ...]
    feedback_types: tuple[tuple[str, int], ...]
    languages: tuple[tuple[str, int], ...]
    words: tuple[Topic, ...]
    topics: tuple[tuple[str, int], ...]
    samples: tuple[Sample, ...]
    lineage: DatasetLineage | None


def card(
    manifest: Manifest,
    parts: Iterable[Sequence[Example]],
    *,
    language_of: Callable[[str], str | None],
    lineage: DatasetLineage | None = None,
) -> Card:
    """Equal datasets give equal cards: what is sampled is chosen by the ids of examples, which are hashes.

    Args:
        manifest: of the dataset.
        parts: all of its parts, in any order. Examples of one prompt stand in one part of a split.
        language_of: ISO 639-1 code or None.
        lineage: what the store knows of the dataset.
    """
    tally = _Tally()
    total = sum(part.rows for part in manifest.parts)
    for part in parts:
        tally.add(part, share=SAMPLED_PROMPTS / max(total, 1), language_of=language_of)
    measured = ((name, lengths(counted)) for name, counted in tally.lengths.items())
    return Card(
        manifest=manifest,
        recipe_sha256=recipe_sha256(manifest.recipe),
        examples=tally.examples,
        prompts=tally.words.prompts,
        oldest=tally.oldest,
        newest=tally.newest,
        shapes=tuple(tally.shapes.items()),
        lengths=tuple((name, found) for name, found in measured if found is not None),
        feedback_types=_most_first(tally.feedback_types),
        languages=_most_first(tally.languages),
        words=tally.words.heaviest(TOPICS),
        topics=_topics(sorted(tally.sampled)),
        samples=tuple(_sample(one) for kind in ExampleKind for one in tally.samples.get(kind, ())),
        lineage=lineage,
    )


def recipe_sha256(recipe: DatasetRecipe) -> str:
    """Of the recipe as JSON with sorted keys and no spaces."""
    body = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return sha256(body.encode()).hexdigest()


@dataclass(slots=True)
class _Tally:
    examples: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    shapes: dict[str, int] = field(
        default_factory=lambda: {"with a system prompt": 0, "of several turns": 0, "with tools": 0}
    )
    lengths: dict[str, Counter[int]] = field(
        default_factory=lambda: {
            f"{text}, {unit}": Counter() for text in ("prompt", "answer") for unit in ("words", "characters")
        }
    )
    feedback_types: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    words: Topics = field(default_factory=Topics)
    sampled: list[tuple[str, str, str]] = field(default_factory=list)  # id, prompt, group
    samples: dict[ExampleKind, list[Example]] = field(default_factory=dict)

    def add(self, part: Sequence[Example], *, share: float, language_of: Callable[[str], str | None]) -> None:
        seen: set[str] = set()
        for example in part:
            self._count(example)
            self._keep_sample(example)
            prompt = example.prompt
            if prompt in seen:
                continue
            seen.add(prompt)
            self.words.add(prompt)
            self._measure("prompt", prompt)
            if int.from_bytes(sha256(example.id.encode()).digest()[:8], "big") < share * 2**64:
                self.languages[language_of(prompt) or UNTOLD] += 1
                self.sampled.append((example.id, prompt, example.group_id))

    def _count(self, example: Example) -> None:
        self.examples += 1
        at = example.last_feedback_at
        self.oldest = at if self.oldest is None else min(self.oldest, at)
        self.newest = at if self.newest is None else max(self.newest, at)
        self.shapes["with a system prompt"] += any(turn.role == "system" for turn in example.messages)
        self.shapes["of several turns"] += sum(turn.role == "user" for turn in example.messages) > 1
        self.shapes["with tools"] += bool(example.tools)
        self.feedback_types.update(example.feedback_types)
        self._measure("answer", example.answer)

    def _measure(self, name: str, text: str) -> None:
        self.lengths[f"{name}, words"][len(text.split())] += 1
        self.lengths[f"{name}, characters"][len(text)] += 1

    def _keep_sample(self, example: Example) -> None:
        if example.split != TRAIN:
            return
        kept = sorted([*self.samples.get(example.kind, ()), example], key=lambda one: one.id)
        self.samples[example.kind] = kept[:SAMPLES]


def _topics(sampled: Sequence[tuple[str, str, str]]) -> tuple[tuple[str, int], ...]:
    """As drift tells them, k-means on words that several users have, but without English function words."""
    from gateway_tuning.drift.texts.topics import TooFewWordsError, TopicModel
    from gateway_tuning.drift.texts.words import tokenize

    dull = function_words()
    rows = [
        tuple([word for word in words if word not in dull])
        for words in tokenize(prompt for _, prompt, _ in sampled)
    ]
    try:
        model = TopicModel.of_words(rows, [group for *_, group in sampled], topics=TOPICS, seed=0)
    except TooFewWordsError:
        return ()
    names = [*(", ".join(model.top_words(topic)) for topic in range(model.topics)), "other"]
    return _most_first(Counter(names[topic] for topic in model.assign_words(rows)))


def _sample(example: Example) -> Sample:
    return Sample(
        kind=example.kind,
        prompt=_cut(example.prompt),
        answer=_cut(example.answer),
        rejected=None if example.rejected is None else _cut(example.rejected),
        desirable=example.desirable,
    )


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SAMPLE_CHARACTERS else f"{line[: SAMPLE_CHARACTERS - 1]}…"


def _most_first(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
