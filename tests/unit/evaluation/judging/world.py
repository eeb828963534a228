"""Examples with two answers, and a judge's run over a real server."""

import asyncio
from datetime import UTC, datetime

from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from gateway_tuning.evaluation.judging.judge import judge
from gateway_tuning.evaluation.scored import Answer, Role, ScoredExample
from gateway_tuning.evaluation.settings import EvaluationSettings, JudgeSettings

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
PRICES = {"input_price": 2.5, "output_price": 10.0}


def example(number, *, rejected=None, group=None, answer="The reference.", **fields):
    return Example(
        **{
            "id": f"ex{number:03}",
            "kind": ExampleKind.DEMONSTRATION if rejected is None else ExampleKind.PREFERENCE,
            "messages": (Turn("system", "Be brief"), Turn("user", f"Question {number}?")),
            "answer": answer,
            "rejected": rejected,
            "desirable": None,
            "feedback_ids": (f"f{number}",),
            "feedback_types": ("correction",),
            "last_feedback_at": NOW,
            "group_id": group or f"g{number}",
            "split": "test",
            **fields,
        }
    )


def scored(number, ours="A longer answer.", theirs="An answer.", **fields):
    answers = {
        role: Answer(role, "v1", text, None if text is not None else "Timeout", 1.0)
        for role, text in ((Role.CANDIDATE, ours), (Role.STABLE, theirs))
    }
    scores = {role: {} for role in answers}
    return ScoredExample(example(number, **fields), answers, scores, {})


def label(number, chosen="The answer that people chose.", rejected="Rejected.", **fields):
    return example(1000 + number, answer=chosen, rejected=rejected, **fields)


def settings(url, *, concurrency=4, timeout_s=5.0, seed=0, **judge_fields):
    return EvaluationSettings(
        concurrency=concurrency,
        timeout_s=timeout_s,
        seed=seed,
        judge=JudgeSettings(base_url=f"{url}/v1", model="judge-1", **judge_fields),
    )


def run(examples, how, store, labels=(), **options):
    return asyncio.run(judge(examples, labels, how, store, now=NOW, **options))


def values(judging):
    return {name: score.value for name, score in judging.preferences.items()}
