"""Has what users ask changed since the stable model was trained?"""

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.published import read_all
from gateway_tuning.datasets.retired import successor
from gateway_tuning.drift.check import DriftReport, Window, check_drift, failed, learn_topics
from gateway_tuning.drift.report import evidently_html, render_markdown
from gateway_tuning.drift.result import read_report
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.drift.store import OLDER_HALF, CheckKind, StoredDriftReport
from gateway_tuning.drift.texts.topics import TooFewWordsError, TopicModel
from gateway_tuning.errors import ErasedError, IntegrityError, NotFoundError
from gateway_tuning.storage import layout
from gateway_tuning.storage.database import reading
from tasks.patience import STAGE
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.drift")

REPORT = "evidently.html"


@task(name="check drift", **STAGE)
def check_dataset_drift(dataset_id: str, stable_id: str, settings: DriftSettings) -> StageResult:
    """Compare the dataset with the one the stable version was trained on.

    A stable version that was not trained here has none. Then the older half of the dataset is the reference, by
    the time of its feedback, and the report says so. Checks against one dataset share a false alarm rate. A dataset that
    cannot be read any more is an error with its reason, which is no pass; such a check may be made again.

    Raises:
        ConflictError: another check against the same dataset was made meanwhile; this one is to be made again.
    """
    rt = runtime()
    stable = rt.registry.get(stable_id)
    stable_dataset = dataset_of(stable_id)
    reference_id = stable_dataset or f"{OLDER_HALF}{dataset_id}"
    identity = _identity(dataset_id, reference_id, settings)
    known = rt.drift.find(identity)
    if known is None or known.state == "error":
        number = rt.drift.next_number(stable.tenant, stable.model, CheckKind.DATASET, reference_id)
        report = _checked(dataset_id, stable_dataset, settings, number, identity)
        known = rt.drift.add(
            StoredDriftReport(
                identity,
                stable.tenant,
                dataset_id,
                reference_id,
                asdict(report),
                now(),
                model=stable.model,
                kind=CheckKind.DATASET,
                check_number=number if report.spends else None,
                alpha=report.alpha if report.spends else None,
            )
        )
    told = render_markdown(read_report(known.result))
    create_markdown_artifact(told, key="drift", description=identity)
    detail = {name: known.result[name] for name in ("state", "reasons", "metrics", "score")}
    reference_label = known.result["reference"] or "nothing: there is no earlier feedback"
    return StageResult(
        id=identity,
        detail=detail | {"reference": reference_label, "against_stable": known.is_against_stable},
    )


def dataset_of(version_id: str) -> str | None:
    """What a version was trained on, or what is left of it after an erasure."""
    rt = runtime()
    dataset_id = rt.registry.get(version_id).dataset_id
    if dataset_id is None:
        return None
    with reading(rt.engine) as connection:
        return successor(connection, dataset_id) or dataset_id


def _checked(
    dataset_id: str, stable_dataset: str | None, settings: DriftSettings, number: int, identity: str
) -> DriftReport:
    try:
        examples = _examples(dataset_id)
        if stable_dataset is None:
            reference, current = _halves(examples, dataset_id)
        else:
            reference, current = (
                window_of(_examples(stable_dataset), stable_dataset),
                window_of(examples, dataset_id),
            )
    except (NotFoundError, ErasedError, IntegrityError) as error:
        return failed(error, reference=stable_dataset, current=dataset_id)
    topics = None if stable_dataset is None else topics_of(stable_dataset, reference, settings)
    if reference is not None:
        _store_evidently(identity, reference, current)
    return check_drift(reference, current, settings, check_number=number, topics=topics)


def _examples(dataset_id: str) -> list[Example]:
    return read_all(runtime().objects, runtime().datasets.manifest(dataset_id))


def _halves(examples: Sequence[Example], dataset_id: str) -> tuple[Window | None, Window]:
    """Older and newer half by the time of the feedback; no older one where all came at one moment."""
    ordered = sorted(examples, key=lambda example: (example.last_feedback_at, example.id))
    times = [example.last_feedback_at for example in ordered]
    middle = times[len(times) // 2] if times else None
    # What came at one moment is not torn apart; where most came first, that is the older half.
    end = 0 if middle is None else bisect_left(times, middle) or bisect_right(times, middle)
    if end in {0, len(ordered)}:
        return None, window_of(ordered, dataset_id)
    older, newer = ordered[:end], ordered[end:]
    return window_of(older, f"{OLDER_HALF}{dataset_id}"), window_of(newer, f"newer half of {dataset_id}")


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
    except TooFewWordsError as error:
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
