"""Do the intervals hold what they promise, how often does the gate pass what it must not, and what is pairing worth?

    .venv/bin/python -m benchmarks.statistics [--simulations 2000] [--resamples 2000] [--users 20,60,200]

Both systems answer the same prompts of the same users. A score is made from three normal parts: the prompt, which
both systems share (half of the variance), the user with one system (the intraclass correlation of what is left), and
chance. As it is made, its mean is known exactly: the score is the normal distribution function of the sum, or 1 where
the sum is positive. How many prompts a user has is 1, or heavy-tailed (Pareto 1.3, at most 60: one of 20 users often
has half of all). Intervals and decisions are made by the product's own functions, those of the gate by `decide`.

The gate must not pass a candidate that is exactly as good as the stable model (its primary metric is to be better
than 0), nor one that is exactly 0.05 worse on a guardrail with the margin 0.05. Each may happen in 2.5 % of all cases
if the intervals are exact; 5 % is what we hold it to.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from gateway_tuning.evaluation.statistics import Difference, paired_bootstrap
from gateway_tuning.evaluation.statistics.permutation import mcnemar, paired_permutation
from gateway_tuning.rollout.evidence import Evidence, Measured
from gateway_tuning.rollout.gate import GateOutcome, GatePolicy, decide

Vector = npt.NDArray[np.float64]

SHARED = 0.5  # of the variance, by the prompt
MARGIN = 0.05
LEVEL = 0.05  # of tests
GOOD = Measured("similarity", True, 1_000, 0.3, 0.2, 0.4, 0.6, 0.3)
POLICY = GatePolicy(
    min_examples=2, min_json_validity=None, max_personal_data=None, max_more_refusals=None, guardrails={}
)
GUARDED = POLICY.model_copy(update={"guardrails": {"factuality": MARGIN}})


@dataclass(frozen=True, slots=True)
class Metric:
    """`unchanged` is the share of pairs where both systems give the same answer."""

    name: str
    mean: float
    binary: bool = False
    unchanged: float = 0.0


EVEN = Metric("bounded, mean 0.5", 0.5)
SKEWED = Metric("bounded, mean 0.9", 0.9)
UNCHANGED = Metric("bounded, 80 % unchanged", 0.6, unchanged=0.8)
BINARY = Metric("0 or 1, mean 0.5", 0.5, binary=True)
RARE = Metric("0 or 1, mean 0.95", 0.95, binary=True)
STRUCTURES = (("one each", 0.0), ("heavy-tailed", 0.1), ("heavy-tailed", 0.5))  # prompts a user, correlation


@dataclass(frozen=True, slots=True)
class Scene:
    metric: Metric
    sizes: str
    correlation: float
    users: int

    def __str__(self) -> str:
        return f"| {self.metric.name} | {self.sizes} | {self.correlation} | {self.users} |"


@dataclass(frozen=True, slots=True)
class Drawn:
    candidate: Vector
    stable: Vector
    users: npt.NDArray[np.intp]


def scenes(metrics: Sequence[Metric], users: Sequence[int]) -> list[Scene]:
    return [
        Scene(metric, *structure, count) for metric in metrics for structure in STRUCTURES for count in users
    ]


def draw(scene: Scene, difference: float, rng: np.random.Generator) -> Drawn:
    """One evaluation in which the candidate is better by `difference` in truth."""
    metric, users = scene.metric, scene.users
    counts = np.ones(users, dtype=int)
    if scene.sizes == "heavy-tailed":
        counts = np.minimum(np.floor(rng.pareto(1.3, users) + 1).astype(int), 60)
    labels = np.repeat(np.arange(users), counts)
    prompt = rng.standard_normal(labels.size)

    def scores(mean: float) -> Vector:
        of_user = math.sqrt(scene.correlation) * rng.standard_normal(users)[labels]
        own = of_user + math.sqrt(1 - scene.correlation) * rng.standard_normal(labels.size)
        total = math.sqrt(SHARED) * prompt + math.sqrt(1 - SHARED) * own
        if metric.binary:
            return (total + special.ndtri(mean) > 0).astype(float)
        return np.asarray(special.ndtr(total + math.sqrt(2) * special.ndtri(mean)))

    stable = scores(metric.mean)
    candidate = scores(metric.mean + difference / (1 - metric.unchanged))
    same = rng.random(labels.size) < metric.unchanged
    return Drawn(np.where(same, stable, candidate), stable, labels)


def interval(drawn: Drawn, resamples: int) -> Difference:
    sides, users = (drawn.candidate.tolist(), drawn.stable.tolist()), drawn.users.tolist()
    return paired_bootstrap(*sides, clusters=users, resamples=resamples, seed=0, span=1.0)


def passes(found: Difference, *, guards: bool) -> bool:
    """What the gate says of it, as the primary metric or as a guardrail of a candidate that is better otherwise."""
    name = "factuality" if guards else "similarity"
    metric = Measured(name, True, found.n, found.mean, found.low, found.high, None, None)
    evidence = Evidence(found.n, 0, "similarity", {"similarity": GOOD} | {name: metric}, "no_drift")
    return decide(evidence, GUARDED if guards else POLICY).outcome is GateOutcome.PASS


def coverage(users: Sequence[int], simulations: int, resamples: int) -> None:
    """Both truths: equal systems, and a candidate at the margin."""
    error = 100 * math.sqrt(LEVEL * (1 - LEVEL) / simulations)
    print(f"## 95 % intervals and false passes ({simulations} simulations each, +- {error:.2f} at 5 %)\n")
    print(
        "| metric | prompts a user | ICC | users | coverage | above | below | width | equal | at the margin |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    worst, least = 0.0, 1.0
    for number, scene in enumerate(scenes((EVEN, SKEWED, UNCHANGED, BINARY, RARE), users)):
        rng = np.random.default_rng(number)
        equal = [interval(draw(scene, 0.0, rng), resamples) for _ in range(simulations)]
        worse = [interval(draw(scene, -MARGIN, rng), resamples) for _ in range(simulations)]
        truths = [(0.0, one) for one in equal] + [(-MARGIN, one) for one in worse]
        above = np.mean([one.low > truth for truth, one in truths])
        below = np.mean([one.high < truth for truth, one in truths])
        width = np.median([one.high - one.low for one in equal])
        at_null = np.mean([passes(one, guards=False) for one in equal])
        at_margin = np.mean([passes(one, guards=True) for one in worse])
        worst, least = max(worst, at_null, at_margin), min(least, 1 - above - below)
        figures = f"{1 - above - below:.1%} | {above:.1%} | {below:.1%} | {width:.3f} | {at_null:.1%} | {at_margin:.1%}"
        print(scene, figures, "|", flush=True)
    print(f"\nLeast coverage {least:.1%}; most false passes {worst:.1%}, held to 5 % +- {2 * error:.1f} %.")


def tests(users: Sequence[int], simulations: int) -> None:
    """Rejections of two equal systems, with users as clusters and without."""
    print("\n## Rejections of two equal systems at p < 5 %: permutation, and McNemar's test for 0 or 1\n")
    print("| metric | prompts a user | ICC | users | by users | as if all prompts were users |")
    print("|---|---|---:|---:|---:|---:|")
    for scene in scenes((EVEN, BINARY), users):
        rng, test = np.random.default_rng(scene.users), mcnemar if scene.metric.binary else paired_permutation
        found: list[tuple[float | None, float | None]] = []
        for _ in range(simulations):
            drawn = draw(scene, 0.0, rng)
            sides = drawn.candidate.tolist(), drawn.stable.tolist()
            by_users = test(*sides, clusters=drawn.users.tolist(), resamples=1_000, seed=0)
            found.append((by_users, test(*sides, resamples=1_000, seed=0)))
        rates = [np.mean([p is not None and p < LEVEL for p in each]) for each in zip(*found, strict=True)]
        print(scene, f"{rates[0]:.1%} | {rates[1]:.1%} |", flush=True)


def unpaired_rejects(drawn: Drawn) -> bool:
    """Welch's test of the users' means, as if other users had asked the other system. Two-sided at 5 %."""
    counts = np.bincount(drawn.users)
    sides = [np.bincount(drawn.users, weights=side) / counts for side in (drawn.candidate, drawn.stable)]
    return bool(stats.ttest_ind(*sides, equal_var=False).pvalue < LEVEL)


def power(users: Sequence[int], simulations: int, resamples: int) -> None:
    print("\n## Power, one prompt a user\n")
    print("| metric | users | better by | gate passes | unpaired test rejects |")
    print("|---|---:|---:|---:|---:|")
    for metric, better in ((EVEN, 0.1), (UNCHANGED, 0.04), (BINARY, 0.15)):
        for count in users:
            rng = np.random.default_rng(count)
            scene = Scene(metric, *STRUCTURES[0], count)
            drawn = [draw(scene, better, rng) for _ in range(simulations)]
            ours = np.mean([passes(interval(one, resamples), guards=False) for one in drawn])
            theirs = np.mean([unpaired_rejects(one) for one in drawn])
            print(f"| {metric.name} | {count} | {better} | {ours:.1%} | {theirs:.1%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=2_000)
    parser.add_argument("--resamples", type=int, default=2_000)
    parser.add_argument("--users", default="20,60,200")
    chosen = parser.parse_args()
    users = [int(count) for count in chosen.users.split(",")]
    coverage(users, chosen.simulations, chosen.resamples)
    tests(users, chosen.simulations)
    power(users, chosen.simulations, chosen.resamples)


if __name__ == "__main__":
    main()
