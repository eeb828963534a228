"""The judge for `metrics.py`: asked which of two passages answers a question better, as two readers rated them."""

import random
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

from benchmarks.feedbackqa import Passage, prompt_of
from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from gateway_tuning.evaluation.judging.judge import Judging, judge
from gateway_tuning.evaluation.judging.measures import Share, share
from gateway_tuning.evaluation.judging.store import JudgementStore
from gateway_tuning.evaluation.scoring import catalog
from gateway_tuning.evaluation.scoring.protocol import Item
from gateway_tuning.evaluation.settings import EvaluationSettings, JudgeSettings
from gateway_tuning.storage.database import open_database

_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_LEVEL = 0.95
BESIDE = ("similarity", "rouge_l", "relevance", "relevance_lexical")


def preferences(questions: dict[str, list[Passage]], most: int) -> list[Example]:
    """Pairs of answers to one question that the readers rated differently; a fixed choice, a pair a question first."""
    chance = random.Random(0)  # noqa: S311 - no secret
    found: list[Example] = []
    for question, passages in questions.items():
        for one, other in chance.sample(
            list(combinations(passages, 2)), len(passages) * (len(passages) - 1) // 2
        ):
            if one.rating != other.rating:
                better, worse = sorted((one, other), key=lambda passage: -passage.rating)
                found.append(_preference(len(found), question, better, worse))
                break
    return chance.sample(found, min(most, len(found)))


def _preference(number: int, question: str, better: Passage, worse: Passage) -> Example:
    return Example(
        id=f"pair-{number}",
        kind=ExampleKind.PREFERENCE,
        messages=(Turn("user", prompt_of(question)),),
        answer=better.text,
        rejected=worse.text,
        desirable=None,
        feedback_ids=(),
        feedback_types=(),
        last_feedback_at=_NOW,
        group_id=question,
        split="test",
    )


async def judged(
    questions: dict[str, list[Passage]], url: str, model: str, key_env: str | None, most: int
) -> None:
    """Prints the judge's agreement with the readers, and that of metrics which need no reference, on the same pairs."""
    labels = preferences(questions, most)
    settings = EvaluationSettings(
        judge=JudgeSettings(base_url=url, model=model, api_key_env=key_env, max_pairs=len(labels)),
        level=_LEVEL,
        timeout_s=600,
    )
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'store.db'}")
        found = await judge([], labels, settings, JudgementStore(engine, "bench", "feedbackqa"), now=_NOW)
        engine.dispose()
    _tell(found, labels, model)


def _tell(found: Judging, labels: Sequence[Example], model: str) -> None:
    print(
        f"\n{len(labels)} pairs of answers to one question, rated differently; share ordered as the readers did"
    )
    print(f"{'judge ' + model:<40}{_cell(found.agreement)}  {found.summary.requests} requests")
    for note in found.notes:
        print(f"  {note}")
    for name in BESIDE:
        scorer = catalog.scorer(name)
        better, worse = (
            scorer.score([_item(one, text) for one, text in texts])
            for texts in (
                [(label, label.answer) for label in labels],
                [(label, label.rejected or "") for label in labels],
            )
        )
        hits = [
            (1 + (a > b) - (a < b)) / 2
            for a, b in (
                (one.value or 0.0, other.value or 0.0) for one, other in zip(better, worse, strict=True)
            )
        ]
        found_share = share(hits, [1] * len(hits), [label.group_id for label in labels], level=_LEVEL)
        print(f"{name + ' (answer and question)':<40}{_cell(found_share)}")


def _item(label: Example, text: str) -> Item:
    """Overlap is with the question: a reference would be the better answer itself."""
    return Item(label.prompt, text, label.prompt)


def _cell(found: Share) -> str:
    if found.value is None or found.low is None or found.high is None:
        return f"unknown ({found.trials} pairs)"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}] ({found.trials} pairs)"
