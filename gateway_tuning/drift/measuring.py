"""All columns of two windows, measured."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gateway_tuning.datasets.quality.markers import refusal
from gateway_tuning.drift.columns import OTHER, OTHER_WORDS, Binned, category_bins, coded, numeric_bins
from gateway_tuning.drift.result import Bin, Unmeasured
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.drift.statistics import Shift, Units, shifts, units
from gateway_tuning.drift.texts.language import LanguageOf, languages
from gateway_tuning.drift.texts.sample import Rows, drawn, halves
from gateway_tuning.drift.texts.telling import telling_words
from gateway_tuning.drift.texts.topics import TooFewWordsError, TopicModel
from gateway_tuning.drift.texts.words import Words, count_words, frequent, tokenize
from gateway_tuning.drift.window import Window

if TYPE_CHECKING:
    from gateway_tuning.drift.texts.classifier import Separation

_CLASSIFIED = 3_000  # rows a side: more would not change what the classifier finds, only what it takes
_TOLD = 5  # words of a prompt
_TEXT_COLUMNS = ("prompt_words", "topics")


@dataclass(frozen=True, slots=True)
class Column:
    """`bins` all of them, in order."""

    name: str
    shift: Shift
    bins: tuple[Bin, ...]
    rows: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Telling:
    separation: "Separation"
    words: tuple[Words, Words]
    rows: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Measured:
    columns: tuple[Column, ...]
    unmeasured: tuple[Unmeasured, ...]
    classifier: Telling | None
    languages: Sequence[str | None] | None  # of rows of the current window


@dataclass(frozen=True, slots=True)
class _Texts:
    """The rows of a window whose texts are read."""

    prompts: Sequence[str]
    words: Sequence[Words]
    groups: Sequence[Hashable]

    @property
    def size(self) -> int:
        return len(self.prompts)

    def at(self, rows: Rows) -> "_Texts":
        columns = (self.prompts, self.words, self.groups)
        prompts, words, groups = ([column[row] for row in rows] for column in columns)
        return _Texts(prompts, words, groups)


def learn_topics(reference: Window, settings: DriftSettings) -> TopicModel:
    """On the prompts of one half of the reference's users; `check_drift` compares the other half with what is current.

    Raises:
        TooFewWordsError: the reference has no prompts, or too few words in common.
    """
    texts = _texts(reference, settings)
    if texts is None:
        raise TooFewWordsError(f"Window {reference.label} has no prompts to learn topics from")
    return _learn(texts, settings)


def _learn(texts: _Texts, settings: DriftSettings) -> TopicModel:
    learned = texts.at(halves(texts.groups, seed=settings.seed)[0])
    return TopicModel.of_words(learned.words, learned.groups, topics=settings.topics, seed=settings.seed)


def measure(
    reference: Window,
    current: Window,
    settings: DriftSettings,
    topics: TopicModel | None,
    language_of: LanguageOf | None,
) -> Measured:
    found, unmeasured = _shifted(
        _plain(reference, current), (reference.rows, current.rows), _row_units(reference, current), settings
    )
    before, after = _texts(reference, settings), _texts(current, settings)
    if before is None or after is None:
        given = current.categories.get("language")
        return Measured(tuple(found), tuple(unmeasured), None, given)
    of = units(before.groups, after.groups)
    by_words = {"prompt_words": _word_bins(before, after, settings.words)}
    known = current.categories.get("language")
    if known is None:
        name, values = languages([*before.prompts, *after.prompts], language_of)
        known = values[before.size :]
        by_words[name] = category_bins(values[: before.size], known)
    text_parts = [_shifted(by_words, (before.size, after.size), of, settings)]
    text_parts.append(_topic_shift(before, after, settings, topics))
    for columns, left_out in text_parts:
        found += columns
        unmeasured += left_out
    classifier, reason = _classify(before, after, settings)
    if reason:
        unmeasured.append(Unmeasured("classifier", reason, blocks=True))
    return Measured(tuple(found), tuple(unmeasured), classifier, known)


def _row_units(reference: Window, current: Window) -> Units:
    sides = (reference, current)
    first, second = (side.rows if side.groups is None else side.groups for side in sides)
    return units(first, second)


def _texts(window: Window, settings: DriftSettings) -> _Texts | None:
    if window.prompts is None:
        return None
    groups: Sequence[Hashable] = range(window.rows) if window.groups is None else window.groups
    rows = drawn(groups, most=settings.max_text_rows, seed=settings.seed)
    prompts = [window.prompts[row] for row in rows]
    return _Texts(prompts, tokenize(prompts), [groups[row] for row in rows])


def _plain(reference: Window, current: Window) -> dict[str, Binned]:
    """Columns of all rows."""
    sides = (reference, current)
    numbers: dict[str, Sequence[Sequence[float | None]]] = {}
    categories: dict[str, Sequence[Sequence[str | None]]] = {}
    if reference.prompts is not None and current.prompts is not None:
        numbers["prompt_length"] = [_lengths(side.prompts) for side in sides]
    if reference.answers is not None and current.answers is not None:
        numbers["answer_length"] = [_lengths(side.answers) for side in sides]
        if "refusal" not in current.categories:
            categories["refusal"] = [_refusals(side.answers) for side in sides]
    if reference.feedback_types is not None and current.feedback_types is not None:
        categories["feedback_type"] = [reference.feedback_types, current.feedback_types]
    numbers |= {name: [side.numbers[name] for side in sides] for name in current.numbers}
    categories |= {name: [side.categories[name] for side in sides] for name in current.categories}
    return {name: numeric_bins(*values) for name, values in numbers.items()} | {
        name: category_bins(*given) for name, given in categories.items()
    }


def _lengths(texts: Sequence[str] | None) -> list[float]:
    return [float(len(text)) for text in texts or ()]


def _refusals(answers: Sequence[str] | None) -> list[str]:
    return ["answered" if refusal(answer) is None else "refused" for answer in answers or ()]


def _word_bins(before: _Texts, after: _Texts, most: int) -> Binned:
    rows = [*before.words, *after.words]
    if len(set(rows)) == 1:
        return coded(np.zeros(len(rows), dtype=np.intp), [" ".join(rows[0][:_TOLD]) or "no words"])
    vocabulary = frequent(rows, [*before.groups, *after.groups], most)
    counts = count_words(rows, vocabulary, others=True)
    return Binned((*vocabulary, OTHER_WORDS), counts) if vocabulary else Binned((), counts[:, :0])


def _topic_shift(
    before: _Texts, after: _Texts, settings: DriftSettings, topics: TopicModel | None
) -> tuple[list[Column], list[Unmeasured]]:
    try:
        model = topics or _learn(before, settings)
    except TooFewWordsError as error:
        return [], [Unmeasured("topics", f"no topics could be learned: {error}", blocks=True)]
    compared = before.at(halves(before.groups, seed=settings.seed)[1])
    codes = model.assign_words([*compared.words, *after.words])
    labels = [*(", ".join(model.top_words(topic)) for topic in range(model.topics)), OTHER]
    return _shifted(
        {"topics": coded(codes, labels)},
        (compared.size, after.size),
        units(compared.groups, after.groups),
        settings,
    )


def _shifted(
    columns: dict[str, Binned], rows: tuple[int, int], of: Units, settings: DriftSettings
) -> tuple[list[Column], list[Unmeasured]]:
    """Those with at least two bins; the others with the reason why they are not measured."""
    usable = {name: column for name, column in columns.items() if len(column.labels) > 1}
    left_out = [
        Unmeasured(name, _why(column), blocks=name in _TEXT_COLUMNS)
        for name, column in columns.items()
        if name not in usable
    ]
    if not usable:
        return [], left_out
    results = shifts(
        [column.counts for column in usable.values()],
        of,
        permutations=settings.permutations,
        seed=settings.seed,
    )
    return [
        Column(name, shift, _bins(column, rows[0]), rows)
        for (name, column), shift in zip(usable.items(), results, strict=True)
    ], left_out


def _why(column: Binned) -> str:
    if not column.labels:
        return "there is nothing to count that several users share"
    return f"all rows of both windows are the same: {column.labels[0]}"


def _bins(column: Binned, first: int) -> tuple[Bin, ...]:
    sides = [np.asarray(part.sum(axis=0)).ravel() for part in (column.counts[:first], column.counts[first:])]
    shares = [side / max(1.0, float(side.sum())) for side in sides]
    return tuple(
        Bin(label, float(before), float(after))
        for label, before, after in zip(column.labels, *shares, strict=True)
    )


def _classify(before: _Texts, after: _Texts, settings: DriftSettings) -> tuple[Telling | None, str | None]:
    before, after = (
        side.at(drawn(side.groups, most=_CLASSIFIED, seed=settings.seed)) for side in (before, after)
    )
    prompts = [*before.prompts, *after.prompts]
    if len(set(prompts)) == 1:
        return None, "all prompts are the same text"
    of = units(before.groups, after.groups)
    # With it comes scipy.stats: half a second that every run of every flow would take to start.
    from gateway_tuning.drift.texts.classifier import separate

    separation = separate(prompts, [*before.groups, *after.groups], of, seed=settings.seed)
    words = telling_words(before.words, after.words, (before.groups, after.groups))
    return Telling(separation, words, (before.size, after.size)), None
