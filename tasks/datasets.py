"""Build a dataset from stored feedback."""

import logging

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.cycles.plan import TrainingPlan
from gateway_tuning.datasets.build import Request, build, build_key, sweep
from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.inspection.inspection import Inspection
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.datasets.splits import TEST, TRAIN
from gateway_tuning.errors import ErasedError, ExpectationError, NotFoundError
from gateway_tuning.expectations.page import render_markdown
from gateway_tuning.training import catalog
from tasks.crews import open_crew
from tasks.patience import BRIEF, STAGE
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.dataset")

MAX_BUILDS = 5


@task(name="build dataset", **STAGE)
def build_dataset(tenant: str, recipe: DatasetRecipe, watermark: int) -> StageResult:
    """Feedback up to the watermark: assessed, anonymized, turned into examples, split, published.

    Raises:
        ExpectationError: a critical expectation is not met after a stage; nothing is published.
    """
    from gateway_tuning.anonymization.anonymizer import anonymizer_version

    rt = runtime()
    anonymizer = anonymizer_version(rt.settings.spacy_model)
    key = build_key(tenant=tenant, watermark=watermark, recipe=recipe, anonymizer=anonymizer)
    known = rt.datasets.find(key)
    if known is not None:
        return _told(rt.datasets.manifest(known))
    for attempt in range(1, MAX_BUILDS + 1):
        request = Request(key, tenant, recipe, watermark, anonymizer, now())
        inspection = Inspection(rt.objects, key, request.now)
        try:
            dataset_id = _build(request, inspection)
            break
        except ErasedError as error:
            if attempt == MAX_BUILDS:
                raise
            logger.warning("%s; attempt %d of %d", error, attempt + 1, MAX_BUILDS)
        finally:
            _show(inspection)
    return _told(rt.datasets.manifest(dataset_id))


def _build(request: Request, inspection: Inspection) -> str:
    """What lies between the stages goes when the build has ended, and when it must not go on.

    Raises:
        ErasedError: somebody was erased meanwhile; the feedback must be read again.
        ExpectationError: a critical expectation is not met.
    """
    rt = runtime()
    erasures_before = rt.datasets.erasures(request.tenant)
    workshop = rt.workshop()
    try:
        with open_crew(rt.settings.build_crew) as crew:
            built = build(request, workshop, crew, on_stage=logger.info, check=inspection.inspect)
    except ExpectationError:
        sweep(workshop, request.key)
        raise
    except NotFoundError as error:
        raise ErasedError(
            f"What lay between the stages of the build is gone, as after an erasure ({error}); build it again"
        ) from error
    dataset_id = rt.datasets.add(
        request.key,
        built.manifest,
        built.fates,
        watermark=request.watermark,
        erasures_before=erasures_before,
        now=now(),
        set_aside=built.set_aside,
    )
    sweep(workshop, request.key)
    return dataset_id


def _show(inspection: Inspection) -> None:
    """Also of a build that was stopped."""
    if not inspection.found:
        return
    told = render_markdown(inspection.found, title="Expectations", link=inspection.page)
    create_markdown_artifact(told, key="dataset-expectations", description=f"build {inspection.key[:32]}")
    create_link_artifact(inspection.page, link_text="Expectations", key="dataset-expectations-page")


@task(name="check dataset size", **BRIEF)
def missing_examples(dataset_id: str, training: TrainingPlan) -> tuple[str, ...]:
    """Why the dataset is too small to train and evaluate on; empty when it is not."""
    counts = runtime().datasets.manifest(dataset_id).counts.examples
    able = catalog.provider(training.provider, runtime().settings).capabilities.of_base(training.base_model)
    needed = {TRAIN: able.min_examples, TEST: 1}
    found = {split: counts[split].get(ExampleKind.DEMONSTRATION.value, 0) for split in needed}
    return tuple(
        f"{found[split]} demonstrations in the {split} split, {count} needed; collect more feedback"
        for split, count in needed.items()
        if found[split] < count
    )


def _told(manifest: Manifest) -> StageResult:
    """Also of one that was there already: the page of its run says what the run is about."""
    create_markdown_artifact(_markdown(manifest), key="dataset", description=manifest.dataset_id)
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
    lines += ["", *_trust(manifest)]
    lines += ["", "| personal data replaced | times |", "|---|---:|"]
    lines += [f"| {entity} | {count} |" for entity, count in counts.entities.items()]
    return "\n".join(lines)


def _trust(manifest: Manifest) -> list[str]:
    counts, policy = manifest.counts, manifest.recipe.trust
    burst = counts.left_out.get("burst", 0)
    over_user, over_tenant = (counts.left_out.get(f"over_{whose}_cap", 0) for whose in ("user", "tenant"))
    lines = [
        "## Trust",
        f"- {burst} records quarantined as bursts of feedback; `gateway-tuning feedback quarantine` shows why.",
        f"- {over_user} records over a user's cap ({policy.max_user_share:.0%}, or {policy.min_records_a_user}).",
        f"- {over_tenant} over a tenant's ({policy.max_tenant_share:.0%}, or {policy.min_records_a_tenant}).",
    ]
    found = counts.agreement
    if found is None or found.share is None:
        return [*lines, "- No answer was rated by two raters, so their agreement is unknown."]
    alpha = "undefined, as all votes are alike" if found.alpha is None else f"{found.alpha:.2f}"
    return [
        *lines,
        f"- {found.answers} answers have several raters: {found.share:.0%} of their pairs agree.",
        f"- Krippendorff's alpha is {alpha} (1 is perfect, 0 is chance).",
        f"- {found.mostly_alone} of {found.raters} raters are mostly against the majority of the others.",
    ]
