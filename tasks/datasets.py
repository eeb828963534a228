"""Build a dataset from stored feedback."""

import logging

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.cycles.plan import TrainingPlan
from gateway_tuning.datasets.build import build, build_key, publish
from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.datasets.splits import TEST, TRAIN
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import QuarantineEntry
from gateway_tuning.training import catalog
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.dataset")


@task(name="build dataset", retries=2, retry_delay_seconds=[2, 10])
def build_dataset(tenant: str, recipe: DatasetRecipe, watermark: int) -> StageResult:
    """Feedback up to the watermark: anonymized, turned into examples, split, published."""
    from gateway_tuning.feedback.anonymization import Anonymizer, anonymizer_version

    rt = runtime()
    anonymizer = anonymizer_version(rt.settings.spacy_model)
    key = build_key(tenant=tenant, watermark=watermark, recipe=recipe, anonymizer=anonymizer)
    known = rt.datasets.find(key)
    if known is not None:
        return _result(rt.datasets.manifest(known))
    records = [record for _, record in rt.feedback.read(tenant, up_to_sequence=watermark)]
    built = build(records, recipe, Anonymizer(rt.settings.spacy_model), on_progress=_log_progress)
    rt.feedback.add_quarantine([_set_aside(record, reason) for record, reason in built.failures], now())
    manifest = publish(built, recipe, rt.objects, tenant=tenant, anonymizer=anonymizer)
    rt.datasets.add(key, manifest, watermark=watermark, now=now())
    create_markdown_artifact(_markdown(manifest), key="dataset", description=manifest.dataset_id)
    return _result(manifest)


@task(name="check dataset size")
def missing_examples(dataset_id: str, training: TrainingPlan) -> tuple[str, ...]:
    """Why the dataset is too small to train and evaluate on; empty when it is not."""
    counts = runtime().datasets.manifest(dataset_id).counts.examples
    needed = {
        TRAIN: catalog.provider(training.provider, runtime().settings).capabilities.min_examples,
        TEST: 1,
    }
    found = {split: counts[split].get(ExampleKind.DEMONSTRATION.value, 0) for split in needed}
    return tuple(
        f"{found[split]} demonstrations in the {split} split, {count} needed; collect more feedback"
        for split, count in needed.items()
        if found[split] < count
    )


def _set_aside(record: FeedbackRecord, reason: str) -> QuarantineEntry:
    """Names the record and quotes nothing of it."""
    return QuarantineEntry(
        tenant=record.tenant,
        stage="anonymization",
        source="feedback",
        position=record.id,
        reasons=(reason,),
        raw=None,
        feedback_id=record.id,
    )


def _log_progress(done: int, total: int) -> None:
    logger.info("anonymized %d of %d records", done, total)


def _result(manifest: Manifest) -> StageResult:
    return StageResult(id=manifest.dataset_id, detail=manifest.counts.model_dump())


def _markdown(manifest: Manifest) -> str:
    counts = manifest.counts
    kinds = [kind.value for kind in ExampleKind]
    used = f"{counts.used} of {counts.records} feedback records gave examples, in {counts.groups} groups"
    lines = [
        f"# Dataset `{manifest.dataset_id}`",
        f"{used}; {counts.shared_groups} groups stand in more than one split.",
        "",
        "| split | " + " | ".join(kinds) + " |",
        "|---|" + "---:|" * len(kinds),
    ]
    lines += [
        f"| {split} | " + " | ".join(str(by_kind.get(kind, 0)) for kind in kinds) + " |"
        for split, by_kind in counts.examples.items()
    ]
    lines += ["", "| left out because | records |", "|---|---:|"]
    lines += [f"| {reason.replace('_', ' ')} | {count} |" for reason, count in counts.left_out.items()]
    lines += ["", "| personal data replaced | times |", "|---|---:|"]
    lines += [f"| {entity} | {count} |" for entity, count in counts.entities.items()]
    return "\n".join(lines)
