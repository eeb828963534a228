"""Examples that hold what a model will be evaluated on. Pure.

Every text of an example but the system prompt is compared with every text of each set:

| how | share |
|---|---|
| `exact` | 1: the same words |
| `ngram` | of the evaluation text's distinct n-grams, those that stand in the example |
| `minhash` | estimated Jaccard index of word 3-grams |

Brown et al. 2020 let a single 13-gram count; feedback shares greetings and boilerplate with any evaluation set, so a share
is asked for: from 20 % on Touvron et al. 2023 ("Llama 2", appendix A.6) no longer call a text clean. The share is of the
evaluation text, so that a question quoted in a long conversation is found.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gateway_tuning.datasets.quality.evaluation_sets import NGRAM, SHORT_NGRAM, EvaluationSet
from gateway_tuning.datasets.quality.filters import Reason
from gateway_tuning.datasets.quality.near_duplicates import similar_pairs
from gateway_tuning.datasets.quality.policy import QualityPolicy
from gateway_tuning.datasets.quality.sample import Sample
from gateway_tuning.datasets.quality.shingles import hash_words, ngrams, split_words
from gateway_tuning.datasets.quality.signatures import sign

CONTAMINATES = "contaminates"
EXACT, NGRAMS, MINHASH = "exact", "ngram", "minhash"
_RANK = {EXACT: 2, NGRAMS: 1, MINHASH: 0}


@dataclass(frozen=True, slots=True)
class Hit:
    """`item` numbers the evaluation text within its set; `part` is `turn N`, `prompt`, `answer` or `rejected`."""

    example_id: str
    part: str
    evaluation_set: str  # name@version
    item: int
    how: str
    share: float

    @property
    def reason(self) -> Reason:
        return Reason(
            CONTAMINATES,
            f"{CONTAMINATES} {self.evaluation_set}: its {self.part} has {self.share:.0%} of text {self.item} ({self.how})",
        )


@dataclass(frozen=True, slots=True)
class SetReport:
    """What was found of one set: examples by how, evaluation texts hit, and the largest share (None without a hit)."""

    evaluation_set: str
    texts: int
    texts_hit: int
    examples: dict[str, int]
    largest_share: float | None


def hits(samples: Sequence[Sample], sets: Sequence[EvaluationSet], policy: QualityPolicy) -> tuple[Hit, ...]:
    """The worst hit of each sample and set, ordered by example and set; partitions of samples may be taken one by one.

    Raises:
        ConfigurationError: a set's signatures have too few permutations for the policy's similarity.
    """
    parts = [(sample.id, part, text) for sample in samples for part, text in _parts(sample)]
    texts = [text for _, _, text in parts]
    worst: dict[tuple[str, str], Hit] = {}
    for known in sets:
        for index, item, how, share in _matches(texts, known, policy):
            id_, part, _ = parts[index]
            hit = Hit(id_, part, known.label, item, how, share)
            place = (id_, known.label)
            if place not in worst or _badness(hit) > _badness(worst[place]):
                worst[place] = hit
    return tuple(worst[place] for place in sorted(worst))


def report(found: Iterable[Hit], sets: Sequence[EvaluationSet]) -> tuple[SetReport, ...]:
    """One line a set, also where nothing was hit. `texts_hit` counts worst hits only."""
    every = list(found)
    lines = []
    for known in sets:
        mine = [hit for hit in every if hit.evaluation_set == known.label]
        lines.append(
            SetReport(
                evaluation_set=known.label,
                texts=len(known.totals),
                texts_hit=len({hit.item for hit in mine}),
                examples=dict(sorted(Counter(hit.how for hit in mine).items())),
                largest_share=max((hit.share for hit in mine), default=None),
            )
        )
    return tuple(lines)


def _parts(sample: Sample) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(sample.turns):
        yield f"turn {number}", text
    yield "prompt", sample.prompt
    yield "answer", sample.answer
    if sample.rejected is not None:
        yield "rejected", sample.rejected


def _matches(
    texts: Sequence[str], known: EvaluationSet, policy: QualityPolicy
) -> Iterator[tuple[int, int, str, float]]:
    """Index of the text, number of the evaluation text, how and how much."""
    for index, item, share in _shared_ngrams(texts, known):
        if share >= policy.contamination_overlap:
            yield index, item, NGRAMS, share
    signed = sign(texts, known.signatures.minima.shape[1])
    left, right, shares = similar_pairs(signed, known.signatures, threshold=policy.contamination_similarity)
    same = signed.exact[left] == known.signatures.exact[right]
    for index, item, is_same, share in zip(
        left.tolist(), right.tolist(), same.tolist(), shares.tolist(), strict=True
    ):
        yield index, item, EXACT if is_same else MINHASH, share


def _shared_ngrams(texts: Sequence[str], known: EvaluationSet) -> Iterator[tuple[int, int, float]]:
    if not len(known.ngrams):
        return
    words = hash_words([split_words(text) for text in texts])
    for length in (NGRAM, SHORT_NGRAM):
        runs = ngrams(words, length)
        firsts = np.searchsorted(known.ngrams, runs.hashes, "left")
        held = known.ngrams[np.minimum(firsts, len(known.ngrams) - 1)] == runs.hashes
        pairs = np.unique(np.stack([runs.owners[held].astype(np.uint64), runs.hashes[held]]), axis=1)
        firsts = np.searchsorted(known.ngrams, pairs[1], "left")
        counts = np.searchsorted(known.ngrams, pairs[1], "right") - firsts
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        items = known.owners[np.repeat(firsts, counts) + within]
        indexes = np.repeat(pairs[0].astype(np.int64), counts)
        both, shared = np.unique(indexes * len(known.totals) + items, return_counts=True)
        for place, count in zip(both.tolist(), shared.tolist(), strict=True):
            index, item = divmod(place, len(known.totals))
            yield index, item, count / int(known.totals[item])


def _badness(hit: Hit) -> tuple[float, int, int, str]:
    """Larger is worse; the last two settle ties the same way in every order."""
    return hit.share, _RANK[hit.how], -hit.item, hit.part
