"""Let candidate and stable model answer the held-out prompts, and keep every answer."""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.published import read_split
from gateway_tuning.datasets.splits import TEST, TRAIN
from gateway_tuning.errors import ErasedError, NotFoundError
from gateway_tuning.evaluation.facets import FacetOf, topic_of_prompt
from gateway_tuning.evaluation.judging.asking.prompt import PROMPT_VERSION
from gateway_tuning.evaluation.result import read_result
from gateway_tuning.evaluation.running import probing
from gateway_tuning.evaluation.running.store import PredictionStore, remove_abandoned
from gateway_tuning.evaluation.scored import Role, ScoredExample
from gateway_tuning.evaluation.scoring.protocol import Scorer
from gateway_tuning.evaluation.settings import EvaluationSettings, Facet
from gateway_tuning.evaluation.store import StoredEvaluation
from gateway_tuning.registry.model_version import ModelVersion, base_version_id
from gateway_tuning.serving import LOCAL_PROVIDER, open_endpoints
from gateway_tuning.storage import layout
from tasks.evaluation_pages import PREDICTIONS, REPORT, title_of, write_page
from tasks.patience import STAGE
from tasks.runtime import Runtime, now, runtime

if TYPE_CHECKING:
    from gateway_tuning.evaluation.evaluate import Evaluation, System

logger = logging.getLogger("gateway_tuning.evaluation")

ABANDONED_AFTER = timedelta(days=30)


@task(name="evaluate model", **STAGE)
def evaluate_model(
    candidate_id: str, baseline_id: str, dataset_id: str, settings: EvaluationSettings
) -> StageResult:
    """Compare two versions on the test split. The same comparison is made once and then found again.

    A run that was killed is continued: what was answered, or judged, is not asked again.
    """
    from gateway_tuning.evaluation.evaluate import Stores, evaluate
    from gateway_tuning.evaluation.judging.store import JudgementStore
    from gateway_tuning.evaluation.running.scoring import scorers_of

    rt = runtime()
    scorers = scorers_of(settings)
    identity, known = _identity(rt, (candidate_id, baseline_id, dataset_id), settings, scorers)
    if known is not None:
        PredictionStore(rt.engine, identity, known.tenant, dataset_id).remove()
        _show(known)
        return _stage_result(known)
    remove_abandoned(rt.engine, before=now() - ABANDONED_AFTER)
    candidate, stable = rt.registry.candidate(candidate_id), rt.registry.get(baseline_id)
    base, remarks = _base(rt, candidate, stable, settings)
    manifest = rt.datasets.manifest(dataset_id)
    examples = read_split(rt.objects, manifest, TEST)
    topics, untold = _topics(rt, manifest, settings)
    stores = Stores(
        PredictionStore(rt.engine, identity, manifest.tenant, dataset_id),
        JudgementStore(rt.engine, manifest.tenant, dataset_id),
    )
    with _systems(rt, candidate, stable, base) as systems:
        evaluation = evaluate(
            examples,
            systems,
            settings,
            scorers=scorers,
            stores=stores,
            told=topics,
            remarks=(*remarks, *untold),
        )
    stored = StoredEvaluation(
        id=identity,
        tenant=manifest.tenant,
        model=candidate.model,
        candidate=candidate_id,
        baseline=baseline_id,
        dataset_id=dataset_id,
        result=asdict(evaluation.result),
        created_at=now(),
    )
    _write(rt, evaluation, stored)
    try:
        recorded = rt.evaluations.add(stored)
    except ErasedError:
        for name in (REPORT, PREDICTIONS):
            rt.objects.delete(layout.evaluation_file(identity, name))
        raise
    stores.predictions.remove()
    return _stage_result(recorded)


def _identity(
    rt: Runtime, ids: tuple[str, str, str], settings: EvaluationSettings, scorers: Sequence[Scorer]
) -> tuple[str, StoredEvaluation | None]:
    """The comparison's id, and its record where it was made.

    One in which the stable model did not answer, or a scorer broke, stays as it is, and the next run of it is another:
    evaluating again is its remedy.
    """
    parts = [*ids, settings.model_dump_json(), *(f"{one.card.name}:{one.version}" for one in scorers)]
    parts += [f"{probing.METRIC}:{probing.VERSION}"] if settings.probes else []
    parts += [f"judge:{PROMPT_VERSION}"] if settings.judge else []
    first = "eval-" + sha256("\x1f".join(parts).encode()).hexdigest()[:16]
    for number in count(1):
        identity = first if number == 1 else f"{first}-{number}"
        known = rt.evaluations.find(identity)
        if known is None or not _is_faulty(known):
            return identity, known
    raise AssertionError("there is always another number")


def _is_faulty(stored: StoredEvaluation) -> bool:
    """Whether another run may know more. Probes that cannot be made of the examples are no fault."""
    result = read_result(stored.result)
    measured = {one.metric for one in result.comparisons if one.against is Role.STABLE}
    return result.state == "invalid" or bool(result.cards.keys() - measured - {probing.METRIC})


def _base(
    rt: Runtime, candidate: ModelVersion, stable: ModelVersion, settings: EvaluationSettings
) -> tuple[ModelVersion | None, tuple[str, ...]]:
    """The untuned model, where it is wanted, served, and not the stable one anyway; else why it is not asked."""
    identity = base_version_id(candidate.model, candidate.base_model)
    if not settings.include_base:
        return None, ()
    if identity == stable.id:
        return None, (f"The stable version is the base model {candidate.base_model} itself",)
    try:
        base = rt.registry.get(identity)
        if base.provider != LOCAL_PROVIDER:
            rt.registry.endpoint(identity)
    except NotFoundError as error:
        return None, (f"The base model {candidate.base_model} was not asked: {error}",)
    return base, ()


def _topics(
    rt: Runtime, manifest: Manifest, settings: EvaluationSettings
) -> tuple[dict[Facet, FacetOf], tuple[str, ...]]:
    """Learned on what the candidate was trained on, where they are wanted; else why there are none."""
    if "topic" not in settings.slices:
        return {}, ()
    examples = read_split(rt.objects, manifest, TRAIN)
    prompts, groups = [one.prompt for one in examples], [one.group_id for one in examples]
    try:
        return {"topic": topic_of_prompt(prompts, groups, seed=settings.seed)}, ()
    except ValueError as error:
        return {}, (f"Topics are not told apart: {error}",)


@contextmanager
def _systems(
    rt: Runtime, candidate: ModelVersion, stable: ModelVersion, base: ModelVersion | None
) -> Iterator[list["System"]]:
    from gateway_tuning.evaluation.evaluate import System

    asked = {Role.CANDIDATE: candidate, Role.STABLE: stable} | ({Role.BASE: base} if base else {})
    with open_endpoints(
        list(asked.values()), registry=rt.registry, objects=rt.objects, settings=rt.settings
    ) as endpoints:
        yield [System(role, version.id, endpoints[version.id]) for role, version in asked.items()]


def _write(rt: Runtime, evaluation: "Evaluation", stored: StoredEvaluation) -> None:
    """The table first: it tells the dataset, should nobody record the evaluation."""
    from gateway_tuning.evaluation.table import predictions_table

    metrics = _metrics(evaluation.examples)
    facets = evaluation.result.settings["slices"]
    table = predictions_table(evaluation.examples, metrics, facets, dataset_id=stored.dataset_id)
    data = io.BytesIO()
    pq.write_table(table, data, compression="zstd")
    rt.objects.write(layout.evaluation_file(stored.id, PREDICTIONS), data.getvalue())
    write_page(rt, stored)
    _show(stored)


def _show(stored: StoredEvaluation) -> None:
    """Also of one that was made before: the page of its run says what the run is about."""
    from gateway_tuning.evaluation.reporting.markdown import render_markdown

    told = render_markdown(read_result(stored.result), title=title_of(stored))
    create_markdown_artifact(told, key="evaluation", description=stored.id)


def _metrics(examples: Sequence[ScoredExample]) -> list[str]:
    return list(dict.fromkeys(name for one in examples for scores in one.scores.values() for name in scores))


def _stage_result(stored: StoredEvaluation) -> StageResult:
    result = read_result(stored.result)
    compared = result.comparison(result.primary)
    figures = {
        system.role.value: {"version": system.version, "mean": system.means.get(result.primary)}
        for system in result.systems
    }
    detail = {
        "state": result.state,
        "primary": result.primary,
        "difference": None if compared is None else asdict(compared.difference),
    }
    return StageResult(id=stored.id, detail=detail | figures)
