"""Do the metrics rank answers as people do? Beside plain word overlap (Jaccard), on the same answers of FeedbackQA.

    .venv/bin/python -m benchmarks.metrics [--part report] [--resamples 1000] [--without-model]
    .venv/bin/python -m benchmarks.metrics --judge-url http://127.0.0.1:8080/v1 --judge-model NAME [--pairs 200]

Rank correlation of each metric with the mean of two readers' ratings, over all answers (Spearman, Kendall's tau-b), and
the share of pairs of answers to one question, rated differently, that it orders as the readers did (ties count
half): that is what an evaluation asks of it. Intervals are 95 %, by a bootstrap of whole questions; the difference to
Jaccard is taken within each resample. A metric that has no value for some answers is compared on the others, and Jaccard
with it. Last, mistakes planted in retold passages, on which Jaccard is to be no better than a coin.
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.feedbackqa import (
    DATA,
    KINDS,
    PARTS,
    Passage,
    Rated,
    Retold,
    read_questions,
    retold,
    with_context,
    with_nothing,
    with_reference,
)
from benchmarks.judging import judged
from gateway_tuning.evaluation.scoring import catalog

Floats = npt.NDArray[np.float64]
BASELINE = "similarity"
OVERLAP = ("token_f1", "rouge_l", "chrf", "length_ratio")
WITH_REFERENCE = ("factuality", "semantic_similarity_lexical", "semantic_similarity")
WITH_CONTEXT = ("factuality",)
ALONE = ("relevance_lexical", "coherence_lexical", "relevance", "coherence")
MODEL = frozenset({"semantic_similarity", "relevance", "coherence"})
PLANTED = ("rouge_l", "chrf", "factuality")


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one metric and of the baseline, where the metric has one; `groups` number the questions."""

    ours: Floats
    baseline: Floats
    ratings: Floats
    groups: npt.NDArray[np.int64]


Statistic = Callable[[Floats, Floats, npt.NDArray[np.int64]], float]


def spearman(values: Floats, ratings: Floats, _groups: npt.NDArray[np.int64]) -> float:
    return float(np.corrcoef(stats.rankdata(values), stats.rankdata(ratings))[0, 1])


def kendall(values: Floats, ratings: Floats, _groups: npt.NDArray[np.int64]) -> float:
    return float(stats.kendalltau(values, ratings).statistic)


def pairs_in_order(values: Floats, ratings: Floats, groups: npt.NDArray[np.int64]) -> float:
    """Answers stand by group, at most three each."""
    right = total = 0.0
    for apart in (1, 2):
        same = groups[apart:] == groups[:-apart]
        rated = np.sign(ratings[apart:] - ratings[:-apart])[same]
        valued = np.sign(values[apart:] - values[:-apart])[same]
        right += float(((rated * valued + 1) / 2)[rated != 0].sum())
        total += float((rated != 0).sum())
    return right / total if total else float("nan")


STATISTICS: dict[str, Statistic] = {
    "Spearman": spearman,
    "Kendall": kendall,
    "pairs in order": pairs_in_order,
}


def compare(sample: Sample, statistic: Statistic, resamples: int) -> tuple[Floats, Floats]:
    """(value, low, high) of the metric and of its difference to the baseline."""
    starts = np.flatnonzero(np.r_[True, np.diff(sample.groups) != 0])
    members = np.split(np.arange(sample.groups.size), starts[1:])
    rng = np.random.default_rng(0)

    def both(rows: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]) -> tuple[float, float]:
        rated = sample.ratings[rows]
        ours = statistic(sample.ours[rows], rated, groups)
        return ours, ours - statistic(sample.baseline[rows], rated, groups)

    point = both(np.arange(sample.groups.size), sample.groups)
    drawn = []
    for _ in range(resamples):
        chosen = rng.integers(len(members), size=len(members))
        rows = np.concatenate([members[number] for number in chosen])
        sizes = [members[number].size for number in chosen]
        drawn.append(both(rows, np.repeat(np.arange(chosen.size), sizes)))  # a question drawn twice is two
    low, high = np.nanquantile(np.array(drawn), [0.025, 0.975], axis=0)
    return np.array([point[0], low[0], high[0]]), np.array([point[1], low[1], high[1]])


def values_of(name: str, rated: Sequence[Rated], *, baseline: bool = False) -> Floats:
    """NaN where the metric has no value."""
    scores = catalog.scorer(name).score([one.baseline if baseline else one.item for one in rated])
    return np.array([np.nan if score.value is None else score.value for score in scores])


def table(
    title: str, rated: list[Rated], overlap_metrics: Sequence[str], metrics: Sequence[str], resamples: int
) -> list[str]:
    """Prints it; each metric of the default set with the measures by which it beats the baseline."""
    numbers = {group: at for at, group in enumerate(dict.fromkeys(one.group for one in rated))}
    groups = np.array([numbers[one.group] for one in rated])
    ratings = np.array([one.rating for one in rated])
    print(f"\n{title}: {len(rated)} answers to {len(numbers)} questions")
    print(
        f"{'':<28}{'n':>5}  " + "".join(f"{name:<25}" for name in STATISTICS) + "to Jaccard: Spearman; pairs"
    )
    overlap = values_of(BASELINE, rated, baseline=True)
    verdicts = []
    for name in (BASELINE, *overlap_metrics, *metrics):
        started = time.process_time()
        ours = values_of(name, rated, baseline=name in {BASELINE, *overlap_metrics})
        milliseconds = 1000 * (time.process_time() - started) / len(rated)
        known = ~np.isnan(ours)
        sample = Sample(ours[known], overlap[known], ratings[known], groups[known])
        found = {label: compare(sample, one, resamples) for label, one in STATISTICS.items()}
        cells = "".join(f"{_cell(value):<25}" for value, _ in found.values())
        differences = {label: found[label][1] for label in ("Spearman", "pairs in order")}
        told = "; ".join(f"{_cell(one, '+')} {_verdict(one)}" for one in differences.values())
        told = "" if name == BASELINE else told
        print(f"{name:<28}{known.sum():>5}  {cells}{told}  {milliseconds:.1f} ms", flush=True)
        if name in catalog.DEFAULT and name != BASELINE:
            shown = [label for label, one in differences.items() if one[1] > 0]
            verdicts.append(f"{name} ({', '.join(shown) or 'NEITHER'})")
    return verdicts


def planted(questions: dict[str, list[Passage]], metrics: Sequence[str], resamples: int) -> None:
    """Share of the pairs in which the retelling without a mistake has the higher value; ties count half."""
    for kind in KINDS:
        pairs = list(retold(questions, kind, seed=0))
        numbers = {group: at for at, group in enumerate(dict.fromkeys(one.group for one in pairs))}
        groups = np.array([numbers[one.group] for one in pairs])
        print(
            f"\nPlanted: a wrong {kind} in {len(pairs)} retold passages; share told from the true retelling"
        )
        overlap = _told_apart(BASELINE, pairs)
        for name in (BASELINE, *metrics):
            ours = _told_apart(name, pairs)
            share, difference = (_mean(values, groups, resamples) for values in (ours, ours - overlap))
            told = "" if name == BASELINE else f"to Jaccard {_cell(difference, '+')} {_verdict(difference)}"
            print(f"{name:<28}{_cell(share):<25}{told}", flush=True)


def _told_apart(name: str, pairs: Sequence[Retold]) -> Floats:
    scorer = catalog.scorer(name)
    true, false = (
        np.array([np.nan if one.value is None else one.value for one in scorer.score(items)])
        for items in ([pair.true for pair in pairs], [pair.false for pair in pairs])
    )
    shares: Floats = np.nan_to_num((np.sign(true - false) + 1) / 2, nan=0.5)
    return shares


def _mean(values: Floats, groups: npt.NDArray[np.int64], resamples: int) -> Floats:
    sums, sizes = np.bincount(groups, weights=values), np.bincount(groups)
    drawn = np.random.default_rng(0).integers(sums.size, size=(resamples, sums.size))
    low, high = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])
    return np.array([values.mean(), low, high])


def _cell(value: Floats, sign: str = "") -> str:
    return f"{value[0]:{sign}.3f} [{value[1]:{sign}.3f}, {value[2]:{sign}.3f}]"


def _verdict(difference: Floats) -> str:
    return "beats it" if difference[1] > 0 else "WORSE" if difference[2] < 0 else "NOT SHOWN"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=sorted(PARTS), default="report")
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--questions", type=int, help="so many alone, for a quick look")
    parser.add_argument(
        "--without-model", action="store_true", help="leave the sentence model out: it takes minutes"
    )
    parser.add_argument("--judge-url", help="OpenAI-compatible endpoint, ends in /v1")
    parser.add_argument("--judge-model")
    parser.add_argument(
        "--judge-key-env", help="variable that holds the key, where the endpoint asks for one"
    )
    parser.add_argument(
        "--pairs", type=int, default=200, help="pairs of answers that the judge sees, in both orders"
    )
    arguments = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not on this machine: this benchmark needs FeedbackQA")
    questions = dict(list(read_questions(arguments.part).items())[: arguments.questions])
    if arguments.judge_url:
        if not arguments.judge_model:
            raise SystemExit("Say which model judges: --judge-model NAME")
        asyncio.run(
            judged(
                questions,
                arguments.judge_url,
                arguments.judge_model,
                arguments.judge_key_env,
                arguments.pairs,
            )
        )
        return
    left_out = MODEL if arguments.without_model else frozenset()
    verdicts = [
        table(
            title,
            list(answers(questions)),
            overlap,
            [one for one in metrics if one not in left_out],
            arguments.resamples,
        )
        for title, answers, overlap, metrics in (
            ("With a preferred answer", with_reference, OVERLAP, WITH_REFERENCE),
            ("With a context", with_context, (), WITH_CONTEXT),
            ("With the question alone", with_nothing, (), ALONE),
        )
    ]
    planted(questions, PLANTED, arguments.resamples)
    print("\nDefault metrics, and by what they were shown to beat Jaccard:")
    for title, told in zip(("preferred answer", "context", "question alone"), verdicts, strict=True):
        print(f"  {title}: {', '.join(told)}")


if __name__ == "__main__":
    main()
