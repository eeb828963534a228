"""Has what users ask changed since the stable model was trained?"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.published import read_all
from gateway_tuning.drift.check import Window, check_drift, learn_topics
from gateway_tuning.drift.report import evidently_html, render_markdown
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.drift.store import OLDER_HALF, CheckKind, StoredDriftReport
from gateway_tuning.drift.texts.topics import TopicModel
from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage import layout
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.drift")

REPORT = "evidently.html"


@task(name="check drift", retries=1, retry_delay_seconds=5)
def check_dataset_drift(dataset_id: str, stable_id: str, settings: DriftSettings) -> StageResult:
    """Compare the dataset with the one the stable version was trained on.

    A stable version that was not trained here has none. Then the older half of the dataset is the reference, by
    the time of its feedback, and the report says so. Checks against one dataset share a false alarm rate.

    Raises:
        ConflictError: another check against the same dataset was made meanwhile; this one is to be made again.
    """
    rt = runtime()
    stable = rt.registry.get(stable_id)
    stable_dataset = stable.dataset_id
    reference_id = stable_dataset or f"{OLDER_HALF}{dataset_id}"
    identity = _identity(dataset_id, reference_id, settings)
    known = rt.drift.find(identity)
    if known is None:
        manifest = rt.datasets.manifest(dataset_id)
        examples = read_all(rt.objects, manifest)
        if stable_dataset:
            older = read_all(rt.objects, rt.datasets.manifest(stable_dataset))
            reference: Window | None = window_of(older, stable_dataset)
            current = window_of(examples, dataset_id)
        else:
            reference, current = _halves(examples, dataset_id)
        number = rt.drift.next_number(manifest.tenant, stable.model, CheckKind.DATASET, reference_id)
        topics = None if stable_dataset is None else topics_of(stable_dataset, reference, settings)
        report = check_drift(reference, current, settings, check_number=number, topics=topics)
        spent = bool(report.metrics)
        if reference is not None:
            _store_evidently(identity, reference, current)
        create_markdown_artifact(render_markdown(report), key="drift", description=identity)
        known = rt.drift.add(
            StoredDriftReport(
                identity,
                manifest.tenant,
                dataset_id,
                reference_id,
                asdict(report),
                now(),
                model=stable.model,
                kind=CheckKind.DATASET,
                check_number=number if spent else None,
                alpha=report.alpha if spent else None,
            )
        )
    detail = {name: known.result[name] for name in ("state", "reasons", "metrics", "score")}
    reference_label = known.result["reference"] or "nothing: there is no earlier feedback"
    return StageResult(
        id=identity,
        detail=detail | {"reference": reference_label, "against_stable": known.is_against_stable},
    )


def _halves(examples: Sequence[Example], dataset_id: str) -> tuple[Window | None, Window]:
    """Older and newer half by the time of the feedback; no older one where all came at one moment."""
    ordered = sorted(examples, key=lambda example: (example.last_feedback_at, example.id))
    middle = ordered[len(ordered) // 2].last_feedback_at if ordered else None
    older = [example for example in ordered if middle is not None and example.last_feedback_at < middle]
    newer = window_of(ordered[len(older) :], f"newer half of {dataset_id}")
    return (window_of(older, f"{OLDER_HALF}{dataset_id}") if older else None), newer


def window_of(examples: Sequence[Example], label: str) -> Window:
    """One row a prompt and answer: an answer that gave several examples is not counted several times.

    What augmentation made nobody asked.
    """
    rows = {
        (example.prompt, example.answer): example for example in examples if example.augmented_from is None
    }
    return Window(
        label=label,
        prompts=tuple(prompt for prompt, _ in rows),
        answers=tuple(answer for _, answer in rows),
        feedback_types=tuple(example.feedback_types[0] for example in rows.values()),
        groups=tuple(example.group_id for example in rows.values()),
    )


def topics_of(dataset_id: str, reference: Window | None, settings: DriftSettings) -> TopicModel | None:
    """Learned once on this dataset and kept beside it, so that every check tells the same topics apart.

    None where there is nothing to learn from; the check then says so itself.
    """
    objects = runtime().objects
    learned_with = settings.model_dump_json(include={"topics", "seed", "max_text_rows"})
    key = layout.dataset_topics(dataset_id, sha256(learned_with.encode()).hexdigest())
    try:
        return TopicModel.decode(objects.read(key))
    except (NotFoundError, ValueError):
        pass  # not learned yet, or written by another version
    if reference is None:
        return None
    try:
        topics = learn_topics(reference, settings)
    except ValueError as error:
        logger.info("%s has no topics: %s", dataset_id, error)
        return None
    objects.write(key, topics.encode())
    return topics


def _store_evidently(identity: str, reference: Window, current: Window) -> None:
    """Evidently's page beside our own check; it decides nothing, so its failure is said and not fatal."""
    try:
        html = evidently_html(reference, current)
    except Exception as error:  # noqa: BLE001 - whatever evidently raises, our own check stands
        logger.warning("evidently made no report of %s: %s: %s", identity, type(error).__name__, error)
        return
    runtime().objects.write(layout.drift_file(identity, REPORT), html.encode())


def _identity(dataset_id: str, reference_id: str, settings: DriftSettings) -> str:
    parts = [dataset_id, reference_id, settings.model_dump_json()]
    return "drift-" + sha256("\x1f".join(parts).encode()).hexdigest()[:16]
