"""Can prompts of the two windows be told apart? A classifier that never saw the user it is asked about.

Features are hashed character n-grams (3 to 5, tf-idf, projected onto 1,024 signed sums: Charikar et al. 2002) and a
few figures. What a user says in all rows weighs less (`weights.of_topics`): by their greetings users of the same
kind could be told apart and windows could not. The model is one Newton step of L2-regularised logistic regression from zero, which is ridge regression
on the labels: linear in them, so all shuffles of the labels are fitted together, and the p-value is that of the whole
procedure, refitted for every shuffle, users changing sides as a whole. Split by rows, users who write in their own way
would look like drift (AUC 0.85 where nothing has changed).

Significance is that of the PSI of the held-out scores in ten bins. A change that concerns a fifth of the rows has an
AUC of at most 0.60, however plain it is, and a PSI of well above 1 where it is plain; the AUC alone would miss it.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse, stats

from gateway_tuning.drift.statistics import Floats, Units, p_value_of, psi, shuffled_sides
from gateway_tuning.drift.texts.descriptors import describe
from gateway_tuning.drift.texts.ngrams import FEATURES, hashed_ngrams
from gateway_tuning.drift.texts.weights import of_topics, rarity, weighted

Features = npt.NDArray[np.float32]
FOLDS = 5
_WIDTH = 1_024
_RIDGE = 1.0  # beside texts of length 1; 4 finds less where users greet in their own way
_FIGURES = 0.1  # weight of a figure beside the n-grams of a text, which have length 1 together
_BINS = 10
_BATCHES = (49, 199, 499)
_ENOUGH = 10  # shuffles as large as the observation: then it is chance, and more would not change that


@dataclass(frozen=True, slots=True)
class Separation:
    """`share` is the largest distance by which current rows score higher (Kolmogorov and Smirnov, one-sided).

    At least about so large a part of the rows is of another kind.
    """

    auc: float
    share: float
    p_value: float
    shuffles: int


def separate(texts: Sequence[str], groups: Sequence[Hashable], of: Units, *, seed: int) -> Separation:
    """`texts` and `groups` are rows of both sides, the reference's first; a group is held out on both sides together.

    The number of shuffles grows only while the p-value is in doubt (Besag and Clifford 1991,
    doi:10.1093/biomet/78.2.301).

    Raises:
        ValueError: all texts are the same, or the users of no fold have rows of both sides.
    """
    features = _features(texts, groups, seed)
    rng = np.random.default_rng(seed)
    fold = _folds(groups, rng)
    maps = _maps(features, fold)
    label = np.zeros((of.total, 1), dtype=np.float32)
    label[of.reference :] = 1
    scores = _scores(maps, fold, label[of.of_row])
    labels = label[of.of_row]
    observed = float(_score_psi(scores, labels)[0])
    shuffled = np.empty(0)
    for total in _BATCHES:
        shuffled = np.concatenate(
            [shuffled, _shuffled(maps, fold, of, shuffles=total - shuffled.size, rng=rng)]
        )
        if (shuffled >= observed).sum() >= _ENOUGH:
            break
    return Separation(
        auc=_auc(scores[:, 0], labels[:, 0], fold),
        share=float(
            stats.ks_2samp(
                scores[labels[:, 0] == 0, 0],
                scores[labels[:, 0] == 1, 0],
                alternative="greater",
                method="asymp",
            ).statistic
        ),
        p_value=p_value_of(observed, shuffled, smallest=of.smallest_p),
        shuffles=shuffled.size,
    )


def _features(texts: Sequence[str], groups: Sequence[Hashable], seed: int) -> Features:
    """Rows x columns, centred; equal texts are read once."""
    number = {text: position for position, text in enumerate(dict.fromkeys(texts))}
    if len(number) < 2:  # noqa: PLR2004 - two are needed to differ
        raise ValueError("all prompts are the same text")
    counts = hashed_ngrams(list(number))
    rng = np.random.default_rng(seed)
    signs = rng.choice(np.array([-1, 1], dtype=np.float32), FEATURES)
    buckets = rng.integers(0, _WIDTH, FEATURES)
    projection = sparse.csr_matrix((signs, (np.arange(FEATURES), buckets)), shape=(FEATURES, _WIDTH))
    place = [number[text] for text in texts]
    weights = weighted(counts, rarity(counts))
    weights = weights @ sparse.diags(of_topics(weights[place], groups))
    grams = np.asarray((weights @ projection).toarray(), dtype=np.float32)
    figures = describe(list(number))
    spread = figures.std(axis=0)
    scaled = (figures - figures.mean(axis=0)) / np.where(spread > 0, spread, 1) * _FIGURES
    rows = np.hstack([grams, scaled.astype(np.float32)])[place]
    return np.asarray(rows - rows.mean(axis=0), dtype=np.float32)


def _folds(groups: Sequence[Hashable], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    seen: dict[Hashable, int] = {}
    number = np.array([seen.setdefault(group, len(seen)) for group in groups], dtype=np.intp)
    return rng.permutation(len(seen))[number] % FOLDS


def _maps(features: Features, fold: npt.NDArray[np.intp]) -> list[Features]:
    """For each fold what makes its rows' scores of the other rows' centred labels: rows in it x rows outside it.

    Solved over rows or over features, whichever are fewer.
    """
    maps = []
    for number in range(FOLDS):
        held, known = features[fold == number], features[fold != number]
        over_rows = known.shape[0] <= known.shape[1]
        matrix = known @ known.T if over_rows else known.T @ known
        matrix[np.diag_indices_from(matrix)] += _RIDGE
        factor = linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
        right = known @ held.T if over_rows else held.T
        solved = linalg.cho_solve(factor, right, check_finite=False).T
        maps.append(np.asarray(solved if over_rows else solved @ known.T, dtype=np.float32))
    return maps


def _scores(maps: list[Features], fold: npt.NDArray[np.intp], labels: Features) -> Features:
    """Of each row by the model of the other folds: rows x label vectors. Ranks within a fold, from 0 to 1."""
    scores = np.zeros_like(labels)
    for number, matrix in enumerate(maps):
        held = fold == number
        if not held.any():
            continue
        known = labels[~held]
        raw = matrix @ (known - known.mean(axis=0))
        scores[held] = stats.rankdata(raw, axis=0) / (held.sum() + 1)  # the models' scales differ
    return scores


def _shuffled(
    maps: list[Features],
    fold: npt.NDArray[np.intp],
    of: Units,
    *,
    shuffles: int,
    rng: np.random.Generator,
) -> Floats:
    found = []
    for sides in shuffled_sides(of, shuffles, rng):
        labels = (1 - sides.T)[of.of_row]
        found.append(_score_psi(_scores(maps, fold, labels), labels))
    return np.concatenate(found)


def _score_psi(scores: Features, labels: Features) -> Floats:
    """Of each column; negative where current rows score lower, since that is chance and no separation."""
    bins = np.minimum((scores * _BINS).astype(np.intp), _BINS - 1)
    vectors = labels.shape[1]
    cells = bins + np.arange(vectors) * _BINS
    total = np.bincount(cells.ravel(), minlength=vectors * _BINS).reshape(vectors, _BINS)
    current = np.bincount(cells.ravel(), weights=labels.ravel(), minlength=vectors * _BINS)
    current = current.reshape(vectors, _BINS)
    signs = np.sign(((scores - scores.mean(axis=0)) * labels).sum(axis=0))
    return np.asarray(psi(total - current, current) * signs)


def _auc(scores: Features, labels: Features, fold: npt.NDArray[np.intp]) -> float:
    """Within folds, weighted by their pairs (Mann and Whitney)."""
    above = pairs = 0.0
    for number in range(FOLDS):
        held = fold == number
        current = float(labels[held].sum())
        ranks = stats.rankdata(scores[held])
        above += float(ranks[labels[held] == 1].sum()) - current * (current + 1) / 2
        pairs += current * (float(held.sum()) - current)
    if not pairs:
        raise ValueError("no part of the users has rows of both windows")
    return above / pairs
