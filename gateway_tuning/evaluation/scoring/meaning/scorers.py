"""Answer beside preferred answer, answer beside question, sentence beside sentence: by vectors of an embedder."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from gateway_tuning.datasets.quality.shingles import split_words
from gateway_tuning.evaluation.scoring.meaning.embedder import MOST_CHARACTERS, Embedder, Vectors
from gateway_tuning.evaluation.scoring.meaning.sentences import split_sentences
from gateway_tuning.evaluation.scoring.measure import NO_REFERENCE, share_card
from gateway_tuning.evaluation.scoring.protocol import LEXICAL, Item, Score, ScorerCard

_AT_ONCE = 1_000  # texts
_NO_WORDS = Score(0.0, ("The answer has no words",))
_MODEL = "all-MiniLM-L6-v2 (Reimers and Gurevych 2019, arXiv:1908.10084), trained on English"
_LETTERS = "character n-grams: sees letters, not meaning"


@dataclass(frozen=True, slots=True)
class ByVectors:
    """`texts` of an item are embedded and given to `value`; a score in their place is the item's."""

    card: ScorerCard
    version: str
    embedder: Embedder
    texts: Callable[[Item], list[str] | Score]
    value: Callable[[list[str], Vectors], Score]

    def score(self, items: Sequence[Item]) -> list[Score]:
        asked = [self.texts(item) for item in items]
        vectors = self._vectors([texts for texts in asked if isinstance(texts, list)])
        scores = [one if isinstance(one, Score) else self.value(one, next(vectors)) for one in asked]
        return [_cut(score, item) for score, item in zip(scores, items, strict=True)]

    def _vectors(self, groups: Sequence[Sequence[str]]) -> Iterator[Vectors]:
        start = 0
        while start < len(groups):
            sizes = list(accumulate(len(group) for group in groups[start:]))
            many = max(1, sum(size <= _AT_ONCE for size in sizes))
            rows = self.embedder.embed([text for group in groups[start : start + many] for text in group])
            for begin, end in pairwise([0, *sizes[:many]]):
                yield rows[begin:end]
            start += many


def semantic_similarity(embedder: Embedder) -> ByVectors:
    return _scorer(
        "semantic_similarity",
        "Similarity of meaning",
        "Cosine of the vectors of answer and preferred answer, negative ones as 0",
        embedder,
        texts=_answer_and_reference,
        value=_closest,
        needs_reference=True,
    )


def relevance(embedder: Embedder) -> ByVectors:
    return _scorer(
        "relevance",
        "Relevance to the question",
        "Largest cosine of a sentence of the answer with the question, negative ones as 0; sentences that only repeat "
        "the question do not count",
        embedder,
        texts=_prompt_and_sentences,
        value=_closest,
    )


def coherence(embedder: Embedder) -> ByVectors:
    return _scorer(
        "coherence",
        "Coherence of neighbouring sentences",
        "Mean cosine of each sentence of the answer with the one before it (Foltz, Kintsch and Landauer 1998), "
        "negative ones as 0, as is a sentence that stood there before; unknown for a single sentence",
        embedder,
        texts=_sentences,
        value=_neighbours,
        applies_by_question=False,
    )


def _scorer(
    name: str,
    label: str,
    formula: str,
    embedder: Embedder,
    *,
    texts: Callable[[Item], list[str] | Score],
    value: Callable[[list[str], Vectors], Score],
    needs_reference: bool = False,
    applies_by_question: bool = True,
) -> ByVectors:
    """A lexical embedder gives another metric, with a name of its own: its figures are not to be mixed with meaning's."""
    card = share_card(
        f"{name}{LEXICAL}" if embedder.is_lexical else name,
        f"{label} (by letters)" if embedder.is_lexical else label,
        f"{formula}. Vectors: {_LETTERS if embedder.is_lexical else _MODEL}",
        "own, Foltz et al. 1998" if name == "coherence" else "own",
        needs_reference=needs_reference,
        applies_by_question=applies_by_question,
    )
    return ByVectors(card, f"1, {embedder.version}", embedder, texts, value)


def _answer_and_reference(item: Item) -> list[str] | Score:
    if item.reference is None:
        return NO_REFERENCE
    if not _has_words(item.reference):
        return Score(None, ("The preferred answer has no words",))
    return [item.answer, item.reference] if _has_words(item.answer) else _NO_WORDS


def _prompt_and_sentences(item: Item) -> list[str] | Score:
    if not _has_words(item.prompt):
        return Score(None, ("The question has no words",))
    if not _has_words(item.answer):
        return _NO_WORDS
    asked = {
        tuple(split_words(text)) for text in (item.prompt, *split_sentences(item.prompt[:MOST_CHARACTERS]))
    }
    read = item.answer[:MOST_CHARACTERS]
    sentences = split_sentences(read) or [read]  # an answer that is nothing but code
    own = [sentence for sentence in sentences if tuple(split_words(sentence)) not in asked]
    return [item.prompt, *own] if own else Score(0.0, ("The answer only repeats the question",))


def _sentences(item: Item) -> list[str] | Score:
    sentences = split_sentences(item.answer[:MOST_CHARACTERS])
    if len(sentences) > 1:
        return sentences
    return Score(None, ("The answer has fewer than two sentences",))


def _closest(_texts: list[str], vectors: Vectors) -> Score:
    """Of the first with any other."""
    return Score(_share(float((vectors[1:] @ vectors[0]).max())))


def _neighbours(texts: list[str], vectors: Vectors) -> Score:
    words = [tuple(split_words(text)) for text in texts]
    repeated = [words[number] in words[:number] for number in range(1, len(words))]
    cosines = (vectors[1:] * vectors[:-1]).sum(axis=1)
    values = [
        0.0 if again else _share(float(cosine)) for again, cosine in zip(repeated, cosines, strict=True)
    ]
    notes = (f"{sum(repeated)} of {len(texts)} sentences stood there before",) if any(repeated) else ()
    return Score(sum(values) / len(values), notes)


def _share(cosine: float) -> float:
    return min(1.0, max(0.0, cosine))


def _has_words(text: str) -> bool:
    return any(sign.isalnum() for sign in text[:MOST_CHARACTERS])


def _cut(score: Score, item: Item) -> Score:
    longest = max(len(item.answer), len(item.prompt), len(item.reference or ""))
    if longest <= MOST_CHARACTERS or score.value is None:
        return score
    return Score(
        score.value, (*score.notes, f"Of each text the first {MOST_CHARACTERS:,} characters were read")
    )
