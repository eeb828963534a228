"""How many test prompts have a near-duplicate in train: random rows beside groups of equal and of similar prompts.

    .venv/bin/python -m benchmarks.leakage [--seeds 5] [--edited 0.2]

FeedbackQA asks each question three times, with another answer each: a random split of rows puts most test questions
into train too. In the second table some rows ask in slightly other words: they are asked again with one word more.
Similarity is the exact Jaccard index of word 3-grams, of every test prompt with every train prompt, computed here
and not by the code that is measured.
"""

import argparse
import json
import random
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway_tuning.datasets.draft import Context, Draft, Source
from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.quality.near_duplicates import prompt_clusters
from gateway_tuning.datasets.splits import SPLITS, GroupKeys, assign
from gateway_tuning.feedback.record import FeedbackType

DATA = Path(__file__).parents[2] / "shared" / "data" / "feedbackqa"
LIMITS = (0.6, 0.8)
TEST_SHARE, VALIDATION_SHARE = 0.15, 0.10
ASKED_AT = datetime(2026, 11, 1, tzinfo=UTC)
EXTRA_WORDS = ("please", "today", "now", "exactly", "thanks", "anyway")

Split = Callable[[Sequence[str], int], list[str]]


def questions() -> list[str]:
    return [row["question"] for path in sorted(DATA.glob("*.json")) for row in json.loads(path.read_text())]


def edited(prompts: Sequence[str], share: float, seed: int) -> list[str]:
    chance = random.Random(seed)  # noqa: S311 - no secret
    return [
        f"{prompt.rstrip(' ?.')} {chance.choice(EXTRA_WORDS)}?" if chance.random() < share else prompt
        for prompt in prompts
    ]


def by_random_rows(prompts: Sequence[str], seed: int) -> list[str]:
    order = list(range(len(prompts)))
    random.Random(seed).shuffle(order)  # noqa: S311 - no secret
    tests = round(TEST_SHARE * len(order))
    validations = round(VALIDATION_SHARE * len(order))
    split = ["train"] * len(order)
    for place, row in enumerate(order[: tests + validations]):
        split[row] = "test" if place < tests else "validation"
    return split


def by_equal_prompts(prompts: Sequence[str], seed: int) -> list[str]:
    return _assigned(prompts, seed, similar=False)


def by_similar_prompts(prompts: Sequence[str], seed: int) -> list[str]:
    return _assigned(prompts, seed, similar=True)


def _assigned(prompts: Sequence[str], seed: int, *, similar: bool) -> list[str]:
    drafts = [_draft(prompt, row, seed) for row, prompt in enumerate(prompts)]
    found = assign(
        GroupKeys.of(drafts),
        prompt_clusters(prompts) if similar else None,
        validation_share=VALIDATION_SHARE,
        test_share=TEST_SHARE,
    )
    return [SPLITS[split] for split in found.split]


def _draft(prompt: str, row: int, seed: int) -> Draft:
    """Each row in a conversation of its own, whose name is what a seed changes: nothing else in a split is random."""
    source = Source("bench", str(row), FeedbackType.THUMBS_UP, ASKED_AT, None, f"{seed}-{row}")
    return Draft(
        ExampleKind.DEMONSTRATION, Context((Turn("user", prompt),)), f"answer {row}", sources=[source]
    )


def leaked(prompts: Sequence[str], split: Sequence[str]) -> dict[float, float]:
    """Share of test rows with a train prompt at least that similar."""
    grams = [_trigrams(prompt) for prompt in prompts]
    train = list({grams[row] for row, name in enumerate(split) if name == "train"})
    tests = [grams[row] for row, name in enumerate(split) if name == "test"]
    nearest = {gram: max(_jaccard(gram, other) for other in train) for gram in set(tests)}
    return {limit: statistics.mean(nearest[gram] >= limit for gram in tests) for limit in LIMITS}


def _trigrams(text: str) -> frozenset[tuple[str, ...]]:
    """Shorter texts are one gram."""
    words = re.findall(r"\w+", text.lower())
    return frozenset(tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2)))


def _jaccard(left: frozenset[tuple[str, ...]], right: frozenset[tuple[str, ...]]) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def rows_of(prompts: Callable[[int], Sequence[str]], seeds: int) -> Iterator[str]:
    splits: dict[str, Split] = {
        "random rows": by_random_rows,
        "groups of equal prompts": by_equal_prompts,
        "groups of similar prompts (ours)": by_similar_prompts,
    }
    for name, split in splits.items():
        every = [(prompts(seed), split(prompts(seed), seed)) for seed in range(seeds)]
        found = [leaked(given, assigned) for given, assigned in every]
        tests = statistics.mean(assigned.count("test") / len(assigned) for _, assigned in every)
        cells = " ".join(_cell([one[limit] for one in found]) for limit in LIMITS)
        yield f"{name:<34}{cells}   {tests:>6.1%} of rows in test"


def _cell(shares: Sequence[float]) -> str:
    return f"{statistics.mean(shares):>7.1%} ({min(shares):.1%} - {max(shares):.1%})".ljust(26)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--edited", type=float, default=0.2, help="share of rows that ask in other words")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not on this machine: this benchmark needs FeedbackQA")
    asked = questions()
    print(f"{len(asked)} rows, {len(set(asked))} questions; mean and range over {arguments.seeds} seeds")
    for title, prompts in (
        ("FeedbackQA as it is", lambda _seed: asked),
        (f"{arguments.edited:.0%} of the rows edited", lambda seed: edited(asked, arguments.edited, seed)),
    ):
        heads = " ".join(f"near-duplicate >= {limit}".ljust(26) for limit in LIMITS)
        print(f"\n{title:<34}{heads}")
        for line in rows_of(prompts, arguments.seeds):
            print(line)


if __name__ == "__main__":
    main()
