"""Candidate against baseline on the same held-out examples."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from gateway_tuning.datasets.example import Example, ExampleKind
from gateway_tuning.evaluation.predict import Prediction, Request, predict_each
from gateway_tuning.evaluation.result import EvaluationResult, ScoredPair, summarize
from gateway_tuning.evaluation.scorers import word_set_similarity
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Evaluation:
    result: EvaluationResult
    pairs: tuple[ScoredPair, ...]


def evaluate(
    examples: Sequence[Example], candidate: Endpoint, baseline: Endpoint, settings: EvaluationSettings
) -> Evaluation:
    """`evaluate_async` for code without an event loop."""
    return asyncio.run(evaluate_async(examples, candidate, baseline, settings))


async def evaluate_async(
    examples: Sequence[Example], candidate: Endpoint, baseline: Endpoint, settings: EvaluationSettings
) -> Evaluation:
    """Ask both systems the demonstrations among `examples` and compare the answers with the preferred ones.

    The two requests of an example go out one after the other, the order changing from example to example: what
    slows the machine down slows both. Raises as `predict_each` does.
    """
    chosen = choose(examples, settings)
    requests = []
    for number, example in enumerate(chosen):
        pair = [Request(candidate, example.messages), Request(baseline, example.messages)]
        requests += pair if number % 2 == 0 else pair[::-1]
    answers = await predict_each(
        requests,
        concurrency=settings.concurrency,
        timeout_s=settings.timeout_s,
        max_tokens=settings.max_tokens,
        seed=settings.seed,
    )
    pairs = []
    for number, example in enumerate(chosen):
        first, second = answers[2 * number : 2 * number + 2]
        ours, theirs = (first, second) if number % 2 == 0 else (second, first)
        pairs.append(
            ScoredPair(example, ours, theirs, _similarity(ours, example), _similarity(theirs, example))
        )
    return Evaluation(summarize(pairs, candidate.model, baseline.model, settings), tuple(pairs))


def choose(examples: Sequence[Example], settings: EvaluationSettings) -> list[Example]:
    """The demonstrations to ask: at most `max_examples`, the same ones in every run, whatever their order."""

    def rank(example: Example) -> str:
        return hashlib.sha256(f"{settings.seed}:{example.id}".encode()).hexdigest()

    demonstrations = (example for example in examples if example.kind is ExampleKind.DEMONSTRATION)
    return sorted(demonstrations, key=rank)[: settings.max_examples]


DATASET_METADATA = b"dataset_id"
PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("system", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("preferred", pa.string(), nullable=False),
        pa.field("answer", pa.string()),
        pa.field("error", pa.string()),
        pa.field("similarity", pa.float64(), nullable=False),
        pa.field("latency_ms", pa.float64(), nullable=False),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
    ]
)


def predictions_table(evaluation: Evaluation, dataset_id: str) -> pa.Table:
    """Two rows a pair, `system` being candidate or baseline. Its metadata names the dataset that was asked."""
    result = evaluation.result
    rows = [
        {
            "example_id": pair.example.id,
            "group_id": pair.example.group_id,
            "system": system,
            "model": model,
            "prompt": pair.example.prompt,
            "preferred": pair.example.answer,
            "answer": prediction.text,
            "error": prediction.error,
            "similarity": similarity,
            "latency_ms": prediction.latency_ms,
            "prompt_tokens": prediction.prompt_tokens,
            "completion_tokens": prediction.completion_tokens,
        }
        for pair in evaluation.pairs
        for system, model, prediction, similarity in (
            ("candidate", result.candidate.model, pair.candidate, pair.candidate_similarity),
            ("baseline", result.baseline.model, pair.baseline, pair.baseline_similarity),
        )
    ]
    schema = PREDICTIONS_SCHEMA.with_metadata({DATASET_METADATA: dataset_id})
    return pa.Table.from_pylist(rows, schema=schema)


def _similarity(prediction: Prediction, example: Example) -> float:
    return 0.0 if prediction.text is None else word_set_similarity(prediction.text, example.answer)
