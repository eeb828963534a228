"""Candidate, stable and base model on the same held-out examples: asked, scored, judged, compared."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway_tuning.datasets.example import Example, ExampleKind
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.facets import FacetOf, facets_of, language_of_prompt
from gateway_tuning.evaluation.judging import preferences
from gateway_tuning.evaluation.judging.judge import judge, with_preferences
from gateway_tuning.evaluation.judging.store import JudgementStore
from gateway_tuning.evaluation.probes import Probe
from gateway_tuning.evaluation.result import EvaluationResult, JudgeSummary
from gateway_tuning.evaluation.running import probing
from gateway_tuning.evaluation.running.asking import Prediction
from gateway_tuning.evaluation.running.probing import part_of, probes_of, with_probes
from gateway_tuning.evaluation.running.run import Question, ask_all
from gateway_tuning.evaluation.running.scoring import score_all, scorers_of
from gateway_tuning.evaluation.running.store import PredictionStore
from gateway_tuning.evaluation.scored import Answer, Role, ScoredExample
from gateway_tuning.evaluation.scoring.protocol import Scorer
from gateway_tuning.evaluation.settings import EvaluationSettings, Facet
from gateway_tuning.evaluation.summary import summarize
from gateway_tuning.registry.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class System:
    role: Role
    version: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Stores:
    """Where answers and judgements are kept as they come, so that a killed evaluation goes on."""

    predictions: PredictionStore
    judgements: JudgementStore


@dataclass(frozen=True, slots=True)
class Evaluation:
    result: EvaluationResult
    examples: tuple[ScoredExample, ...]


def evaluate(
    examples: Sequence[Example],
    systems: Sequence[System],
    settings: EvaluationSettings,
    *,
    scorers: Sequence[Scorer] | None = None,
    stores: Stores | None = None,
    told: Mapping[Facet, FacetOf] | None = None,
    remarks: Sequence[str] = (),
) -> Evaluation:
    """`evaluate_async` for code without an event loop."""
    return asyncio.run(
        evaluate_async(
            examples, systems, settings, scorers=scorers, stores=stores, told=told, remarks=remarks
        )
    )


async def evaluate_async(
    examples: Sequence[Example],
    systems: Sequence[System],
    settings: EvaluationSettings,
    *,
    scorers: Sequence[Scorer] | None = None,
    stores: Stores | None = None,
    told: Mapping[Facet, FacetOf] | None = None,
    remarks: Sequence[str] = (),
) -> Evaluation:
    """Ask every system the demonstrations among `examples` and compare the answers with the preferred ones.

    Args:
        examples: of one dataset's split; the preferences among them are what a judge is held against.
        systems: candidate and stable, and the base model if it is to be told from both.
        settings: how many, how long, by what.
        scorers: those of the settings when left out.
        stores: without them nothing is kept, and nothing can be judged.
        told: facets by whoever knows them: topic, segment. The language of prompts is known where it can be told.
        remarks: of the caller, told with the result's reasons.

    Raises:
        ConfigurationError: a metric that nobody knows, a primary metric that nothing asked for gives, a judge without a
            place for what it says, or as `ask_all`.
        ErasedError: the dataset was retired meanwhile.
    """
    scorers = scorers_of(settings) if scorers is None else scorers
    _refuse_undecidable(settings, stores)
    chosen = choose(examples, settings)
    probes = await asyncio.to_thread(probes_of, chosen, settings)
    questions = [*questions_of(chosen, systems), *_probing(probes, systems)]
    said = await ask_all(questions, settings, stores.predictions if stores else None)
    answered = [
        (example, {one.role: _answer(one, said[example.id, one.role.value]) for one in systems})
        for example in chosen
    ]
    scores = await asyncio.to_thread(score_all, answered, scorers)
    facets = await asyncio.to_thread(_facets, chosen, settings, told)
    scored = [
        ScoredExample(example, answers, values, its_facets)
        for (example, answers), values, its_facets in zip(answered, scores.values, facets, strict=True)
    ]
    cards = {scorer.card.name: scorer.card for scorer in scorers}
    unmeasured = dict(scores.unmeasured)
    if settings.probes:
        scored = with_probes(scored, probes, said)
        cards[probing.METRIC] = probing.CARD
        if not probes:
            unmeasured[probing.METRIC] = "no two examples differ enough to make a mistaken claim of"
    summary: JudgeSummary | None = None
    if settings.judge is not None and stores is not None and _is_worth_judging(scored, settings):
        judging = await judge(scored, examples, settings, stores.judgements, now=datetime.now(UTC))
        scored = with_preferences(scored, judging)
        cards[preferences.METRIC] = preferences.CARD
        summary, remarks = judging.summary, (*remarks, *judging.notes)
    result = await asyncio.to_thread(
        summarize,
        scored,
        cards,
        settings,
        versions={one.role: one.version for one in systems},
        judge=summary,
        unmeasured=unmeasured,
        remarks=remarks,
    )
    return Evaluation(result, tuple(scored))


def choose(examples: Sequence[Example], settings: EvaluationSettings) -> list[Example]:
    """The demonstrations to ask: at most `max_examples`, the same ones in every run, whatever their order."""

    def rank(example: Example) -> str:
        return hashlib.sha256(f"{settings.seed}:{example.id}".encode()).hexdigest()

    demonstrations = (example for example in examples if example.kind is ExampleKind.DEMONSTRATION)
    return sorted(demonstrations, key=rank)[: settings.max_examples]


def questions_of(examples: Sequence[Example], systems: Sequence[System]) -> list[Question]:
    """The requests of an example stand together, and who goes first changes from example to example.

    So what slows the machine down slows all systems, and nobody always finds the prompt in a cache.
    """
    return [
        Question(example.id, one.role.value, one.version, one.endpoint, example.messages, example.tools)
        for number, example in enumerate(examples)
        for one in _rotated(systems, number)
    ]


def _probing(probes: Sequence[Probe], systems: Sequence[System]) -> list[Question]:
    return [
        Question(probe.example_id, part_of(one.role), one.version, one.endpoint, probe.messages, probe.tools)
        for number, probe in enumerate(probes)
        for one in _rotated(systems, number)
    ]


def _rotated(systems: Sequence[System], number: int) -> list[System]:
    first = number % len(systems)
    return [*systems[first:], *systems[:first]]


def _answer(system: System, said: Prediction) -> Answer:
    return Answer(
        role=system.role,
        version=system.version,
        text=said.text,
        error=said.error,
        latency_ms=said.latency_ms,
        prompt_tokens=said.prompt_tokens,
        completion_tokens=said.completion_tokens,
    )


def _facets(
    examples: Sequence[Example], settings: EvaluationSettings, told: Mapping[Facet, FacetOf] | None
) -> list[dict[str, str]]:
    known = dict(told or {})
    if "language" in settings.slices and "language" not in known:
        language_of = language_of_prompt()
        known |= {"language": language_of} if language_of else {}
    return [facets_of(example, settings.slices, known) for example in examples]


def _refuse_undecidable(settings: EvaluationSettings, stores: Stores | None) -> None:
    if settings.judge is not None and stores is None:
        raise ConfigurationError("What a judge says is kept, for it is paid for: give `stores`, or no judge")
    if settings.judge is None and settings.primary == preferences.METRIC:
        raise ConfigurationError(
            f"The primary metric is {preferences.METRIC}, and there is no judge; set `judge`"
        )
    if not settings.probes and settings.primary == probing.METRIC:
        raise ConfigurationError(
            f"The primary metric is {probing.METRIC}, and nobody is probed; set `probes`"
        )


def _is_worth_judging(scored: Sequence[ScoredExample], settings: EvaluationSettings) -> bool:
    """Not where the result is invalid anyway: nobody pays for that."""
    failed = sum(one.answers[Role.STABLE].text is None for one in scored)
    return bool(scored) and failed <= settings.max_baseline_failures * len(scored)
