"""From stored feedback to a dataset on object storage: assess, anonymize, bring together, arrange, write, publish.

Each stage is a set of jobs that anybody may do (`building.workshop`); between them stand two steps over a few numbers a
record. What lies between stages is anonymized, and goes when the build has ended.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from gateway_tuning.datasets import evaluation_registry, parquet
from gateway_tuning.datasets.building.arranging import Arranged, arrange
from gateway_tuning.datasets.building.assessing import AssessJob, assess_block, cap
from gateway_tuning.datasets.building.augmenting import AugmentedBucket, AugmentJob, augment_bucket, digest
from gateway_tuning.datasets.building.counting import count
from gateway_tuning.datasets.building.evidence import Check, Examples, Statements, Written
from gateway_tuning.datasets.building.fates import Fates
from gateway_tuning.datasets.building.plan import Plan
from gateway_tuning.datasets.building.reading import Read, ReadJob, read_and_anonymize
from gateway_tuning.datasets.building.resolving import Resolved, ResolveJob, resolve_bucket
from gateway_tuning.datasets.building.workshop import Crew, Workshop
from gateway_tuning.datasets.building.writing import (
    Tally,
    TallyJob,
    WriteJob,
    Wrote,
    lines_of_export,
    tally_block,
    write_bucket,
)
from gateway_tuning.datasets.manifest import Counts, Manifest, dataset_id
from gateway_tuning.datasets.published import publish, read_manifest
from gateway_tuning.datasets.quality.contamination import SetReport, report
from gateway_tuning.datasets.recipe import RECIPE_VERSION, DatasetRecipe
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.blocks import extent, users_of
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.storage import layout


@dataclass(frozen=True, slots=True)
class Built:
    """`fates` has every record that the recipe takes, and is read from what `sweep` removes."""

    manifest: Manifest
    fates: Fates
    set_aside: tuple[QuarantineEntry, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """`key` names the build, see `build_key`; `anonymizer` the version of what finds personal data."""

    key: str
    tenant: str
    recipe: DatasetRecipe
    watermark: int
    anonymizer: str
    now: datetime


def build_key(*, tenant: str, watermark: int, recipe: DatasetRecipe, anonymizer: str) -> str:
    """Names a build before it is made, so that a restarted one finds what its predecessor finished."""
    body = f"{tenant}\x1f{watermark}\x1f{recipe.model_dump_json()}\x1f{anonymizer}"
    return sha256(body.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A build whose every decision is made and of which no dataset is written yet."""

    request: Request
    plan: Plan
    resolved: tuple[Resolved, ...]
    arranged: Arranged
    digest: str  # of the ids in each split
    counts: Counts
    bursts: tuple[tuple[str, str], ...]  # id and reason
    failures: tuple[tuple[str, str], ...]


def build(
    request: Request,
    workshop: Workshop,
    crew: Crew,
    *,
    on_stage: Callable[[str], None] = lambda _text: None,
    check: Check = lambda _evidence: None,
) -> Built:
    """`prepare`, then `finish`."""
    prepared = prepare(request, workshop, crew, on_stage=on_stage, check=check)
    return finish(prepared, workshop, crew, check=check)


def prepare(
    request: Request,
    workshop: Workshop,
    crew: Crew,
    *,
    on_stage: Callable[[str], None] = lambda _text: None,
    check: Check = lambda _evidence: None,
) -> Prepared:
    """Only anonymized text gets past this function.

    Args:
        request: what to build.
        workshop: stores, for the steps that one does alone.
        crew: does the jobs of the stages.
        on_stage: told what was done, in words.
        check: shown what a stage made; what it raises ends the build.

    Raises:
        ConfigurationError: the recipe is of a version that is read but no longer built.
    """
    plan = _plan(request, workshop)
    assessed = crew(assess_block, [AssessJob(plan, block) for block in plan.blocks])
    limits = cap(assessed, plan.recipe.trust)
    on_stage(f"{sum(one.records for one in assessed)} records in {len(plan.blocks)} blocks assessed")
    found = zip(plan.blocks, assessed, strict=True)
    reads: list[Read] = crew(
        read_and_anonymize,
        [ReadJob(plan, block, dict(one.bursts), one.rejected, limits) for block, one in found],
    )
    on_stage("personal data replaced")
    check(Statements(plan, tuple(reads)))
    resolved: list[Resolved] = crew(
        resolve_bucket,
        [
            ResolveJob(plan, bucket, tuple((read.number, read.ranges[bucket]) for read in reads))
            for bucket in range(plan.buckets)
        ],
    )
    arranged = arrange(workshop, plan, resolved)
    on_stage(f"{arranged.groups} groups split")
    check(Examples(plan, tuple(resolved), arranged))
    augmented: list[AugmentedBucket] = []
    if plan.recipe.augmentation.is_on:
        augmented = crew(augment_bucket, [AugmentJob(plan, one) for one in resolved])
        on_stage(f"{sum(len(one.ids) for one in augmented)} examples augmented")
    tallies: list[Tally] = crew(
        tally_block,
        [
            TallyJob(
                plan,
                read,
                tuple((one.bucket, one.told[read.number]) for one in resolved),
                arranged.balance_reason,
            )
            for read in reads
        ],
    )
    return Prepared(
        request=request,
        plan=plan,
        resolved=tuple(resolved),
        arranged=arranged,
        digest=digest(arranged.digest, augmented),
        counts=count(
            plan, reads, resolved, arranged, tallies, augmented, _contamination(workshop, plan, resolved)
        ),
        bursts=tuple(burst for one in assessed for burst in one.bursts),
        failures=tuple(failure for read in reads for failure in read.failures),
    )


def finish(
    prepared: Prepared, workshop: Workshop, crew: Crew, *, check: Check = lambda _evidence: None
) -> Built:
    """A dataset exists only when all of it is written. Finishing an equal build again changes nothing.

    `check` is shown all that is written before the manifest is.
    """
    plan = prepared.plan
    return Built(
        manifest=_write(prepared, workshop, crew, check),
        fates=Fates(workshop, plan),
        set_aside=(
            *_set_aside(workshop, plan, "trust", prepared.bursts),
            *_set_aside(workshop, plan, "anonymization", prepared.failures),
        ),
    )


def sweep(workshop: Workshop, key: str) -> None:
    """Remove what lies between the stages of a build."""
    for name in workshop.objects.list_keys(layout.build_folder(key)):
        workshop.objects.delete(name)
    workshop.objects.delete_partials(layout.build_folder(key))


def _plan(request: Request, workshop: Workshop) -> Plan:
    recipe = request.recipe
    if recipe.version != RECIPE_VERSION:
        raise ConfigurationError(
            f"Recipe version {recipe.version} is no longer built; leave the version out for {RECIPE_VERSION}"
        )
    evaluation_registry.require(workshop.objects, recipe.evaluation_sets)
    plan = Plan(request.key, request.tenant, request.watermark, recipe, 0, 0, (), request.now)
    found = extent(
        workshop.feedback.engine, plan.which, limit=recipe.max_records, block_records=recipe.block_records
    )
    return replace(plan, records=found.records, wanted=found.wanted, blocks=found.blocks)


def _write(prepared: Prepared, workshop: Workshop, crew: Crew, check: Check) -> Manifest:
    request, arranged = prepared.request, prepared.arranged
    recipe = _stored(request, workshop)
    identity = dataset_id(
        prepared.digest,
        tenant=request.tenant,
        recipe=recipe,
        anonymizer=request.anonymizer,
        counts=prepared.counts,
    )
    if workshop.objects.exists(layout.dataset_manifest(identity)):
        known = read_manifest(workshop.objects, identity)
        check(Written(prepared.plan, known))
        return known
    jobs = [WriteJob(prepared.plan, one, identity, arranged.balance_reason) for one in prepared.resolved]
    wrote: list[Wrote] = crew(write_bucket, jobs)
    return publish(
        Manifest(
            dataset_id=identity,
            layout_version=layout.LAYOUT_VERSION,
            schema_version=parquet.SCHEMA_VERSION,
            tenant=request.tenant,
            recipe=recipe,
            anonymizer=request.anonymizer,
            counts=prepared.counts,
            parts=tuple(part for one in wrote for part in one.parts),
            rejected=tuple(one.rejected for one in wrote if one.rejected is not None),
            exports=(),
            leakage=arranged.leakage,
        ),
        workshop.objects,
        lines=lambda name, split: lines_of_export(workshop, prepared.plan, wrote, name, split),
        check=lambda manifest: check(Written(prepared.plan, manifest)),
    )


def _contamination(workshop: Workshop, plan: Plan, resolved: Sequence[Resolved]) -> tuple[SetReport, ...]:
    sets = [evaluation_registry.load(workshop.objects, name) for name in plan.recipe.evaluation_sets]
    return report((hit for one in resolved for hit in one.hits), sets)


def _stored(request: Request, workshop: Workshop) -> DatasetRecipe:
    """The recipe as the manifest has it: words that are always or never masked may be somebody's name."""
    hide = workshop.feedback.subject_of(request.tenant, now=request.now)
    policy = request.recipe.anonymization
    hidden = {
        "deny": tuple(word.model_copy(update={"text": hide(f"word\x1f{word.text}")}) for word in policy.deny),
        "allow": tuple(str(hide(f"word\x1f{word}")) for word in policy.allow),
    }
    return request.recipe.model_copy(update={"anonymization": policy.model_copy(update=hidden)})


def _set_aside(
    workshop: Workshop, plan: Plan, stage: str, found: Iterable[tuple[str, str]]
) -> Iterator[QuarantineEntry]:
    """Names the record and quotes nothing of it."""
    reasons = dict(found)
    users = users_of(workshop.feedback.engine, plan.tenant, list(reasons)) if reasons else {}
    for id_, reason in reasons.items():
        yield QuarantineEntry(
            tenant=plan.tenant,
            stage=stage,
            source="feedback",
            position=id_,
            reasons=(reason,),
            raw=None,
            feedback_id=id_,
            user_id=users.get(id_),
        )
