"""From stored feedback to a dataset on object storage: assess, anonymize, select, split, write, publish."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gateway_tuning.anonymization.anonymizer import AnonymizationFailure, Anonymizer
from gateway_tuning.datasets import parquet, splits
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.formats import WRITERS
from gateway_tuning.datasets.manifest import Counts, Export, Manifest, Part, RatersAgreement, dataset_id
from gateway_tuning.datasets.recipe import RECIPE_VERSION, DatasetRecipe
from gateway_tuning.datasets.record_texts import texts, with_texts
from gateway_tuning.datasets.reformulations import mine
from gateway_tuning.datasets.selection import choice, left_out, newest, select
from gateway_tuning.datasets.statements import SubjectOf, read, read_mined
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.trust import assess
from gateway_tuning.feedback.votes import Agreement, agreement
from gateway_tuning.storage import layout
from gateway_tuning.storage.object_store import ObjectStore

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a record: whether an example is made of it, and why not or how far."""

    feedback_id: str
    user_id: str | None
    used: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class BuiltDataset:
    """Examples ordered by id; the records set aside by trust or anonymization, with the reason.

    `fates` covers every record within the recipe and its `max_records`, by time.
    """

    examples: tuple[Example, ...]
    counts: Counts
    quarantined: tuple[tuple[FeedbackRecord, str], ...]
    failures: tuple[tuple[FeedbackRecord, str], ...]
    fates: tuple[Fate, ...]
    agreement: Agreement


def build(
    records: Sequence[FeedbackRecord],
    recipe: DatasetRecipe,
    anonymizer: Anonymizer,
    *,
    subject_of: SubjectOf,
    on_progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> BuiltDataset:
    """Only anonymized text gets past this function.

    Args:
        records: usable feedback of one tenant.
        recipe: what to take and how to split.
        anonymizer: finds and replaces personal data.
        subject_of: hides a user behind the tenant's key.
        on_progress: called with (records anonymized, records in all).

    Raises:
        ConfigurationError: the recipe is of a version that is read but no longer built.
    """
    if recipe.version != RECIPE_VERSION:
        raise ConfigurationError(
            f"Recipe version {recipe.version} is no longer built; leave the version out for {RECIPE_VERSION}"
        )
    wanted = [record for record in records if _is_wanted(record, recipe)]
    taken = newest(wanted, recipe.max_records)
    missed = Counter(
        {"outside_recipe": len(records) - len(wanted), "over_max_records": len(wanted) - len(taken)}
    )
    assessment = assess(taken, recipe.trust)
    refusals = (*assessment.quarantined, *assessment.capped)
    missed.update(refusal.code for refusal in refusals)
    trusted = assessment.kept
    mined = mine(trusted, recipe.mining)
    clean: list[FeedbackRecord | None] = []
    failures: list[tuple[FeedbackRecord, str]] = []
    entities: Counter[str] = Counter()
    units = [*trusted, *(pair.record for pair in mined)]
    for start in range(0, len(units), _CHUNK):
        chunk = units[start : start + _CHUNK]
        for record, result in zip(
            chunk, anonymizer.anonymize([texts(record) for record in chunk]), strict=True
        ):
            is_own = len(clean) < len(trusted)
            if isinstance(result, AnonymizationFailure):
                clean.append(None)
                if is_own:
                    failures.append((record, result.reason))
                continue
            clean.append(with_texts(record, result.fields))
            if is_own:
                entities.update(result.entities)
        on_progress(min(start + _CHUNK, len(units)), len(units))
    missed["anonymization_failed"] = len(failures)

    said = [read(record, subject_of) for record in clean[: len(trusted)] if record is not None]
    inferred = [
        draft
        for pair, record in zip(mined, clean[len(trusted) :], strict=True)
        if record is not None
        for draft in read_mined(pair, record, subject_of)
    ]
    selection = select(
        [*(draft for one in said for draft in one.drafts), *inferred],
        [one.ballot for one in said if one.ballot is not None],
        max_pairs_per_prompt=recipe.max_pairs_per_prompt,
        min_rating_gap=recipe.min_rating_gap,
    )
    taken_up = {source.key for draft in selection.drafts for source in draft.sources}
    choices = {
        (one.source.tenant, one.source.feedback_id): choice(
            one, selection.lost.get(one.source.key), is_used=one.source.key in taken_up
        )
        for one in said
    }
    assignment = splits.assign(
        splits.GroupKeys.of(selection.drafts),
        validation_share=recipe.validation_share,
        test_share=recipe.test_share,
    )
    examples = [
        splits.example(draft, int(group), splits.SPLITS[split])
        for draft, group, split in zip(selection.drafts, assignment.group, assignment.split, strict=True)
    ]
    missed.update(left_out(choices.values()))
    found = agreement(selection.verdicts)
    counts = Counts(
        records=len(records),
        used=sum(one.is_used for one in choices.values()),
        left_out={reason: count for reason, count in sorted(missed.items()) if count},
        examples=count_by_split_and_kind(examples),
        entities=dict(sorted(entities.items())),
        groups=len({example.group_id for example in examples}),
        shared_groups=len(splits.shared_groups(examples)),
        agreement=_summary(found),
    )
    decided: dict[tuple[str, str], tuple[bool, str | None]] = {
        _name(refusal.record): (False, refusal.reason) for refusal in refusals
    }
    decided |= {_name(record): (False, f"not anonymized: {reason}") for record, reason in failures}
    decided |= {name: (one.is_used, one.reason) for name, one in choices.items()}
    return BuiltDataset(
        examples=tuple(examples),
        counts=counts,
        quarantined=tuple((refusal.record, refusal.reason) for refusal in assessment.quarantined),
        failures=tuple(failures),
        fates=tuple(Fate(record.id, record.user_id, *decided[_name(record)]) for record in taken),
        agreement=found,
    )


def publish(
    built: BuiltDataset, recipe: DatasetRecipe, store: ObjectStore, *, tenant: str, anonymizer: str
) -> Manifest:
    """Write parts and exports, check them, then the manifest. Until then the dataset does not exist.

    Publishing equal content again changes nothing and returns the same manifest.
    """
    return write_dataset(
        built.examples, built.counts, recipe, store, tenant=tenant, anonymizer=anonymizer, replaces=None
    )


def write_dataset(
    examples: Sequence[Example],
    counts: Counts,
    recipe: DatasetRecipe,
    store: ObjectStore,
    *,
    tenant: str,
    anonymizer: str,
    replaces: str | None,
) -> Manifest:
    """`publish` for examples from anywhere; `replaces` is the dataset that they are what is left of."""
    by_split: dict[str, list[Example]] = {split: [] for split in splits.SPLITS}
    for example in examples:
        by_split[example.split].append(example)
    identity = dataset_id(
        {split: [example.id for example in part] for split, part in by_split.items()},
        tenant=tenant,
        recipe=recipe,
        anonymizer=anonymizer,
        counts=counts,
        replaces=replaces,
    )
    if store.exists(layout.dataset_manifest(identity)):
        return read_manifest(store, identity)
    manifest = Manifest(
        dataset_id=identity,
        layout_version=layout.LAYOUT_VERSION,
        schema_version=parquet.SCHEMA_VERSION,
        tenant=tenant,
        recipe=recipe,
        anonymizer=anonymizer,
        counts=counts,
        replaces=replaces,
        parts=tuple(_write_part(store, identity, split, part) for split, part in by_split.items()),
        exports=tuple(
            _write_export(store, identity, name, split, part)
            for name in WRITERS
            for split, part in by_split.items()
        ),
    )
    store.write_new(layout.dataset_manifest(identity), manifest.encode())
    return manifest


def read_manifest(store: ObjectStore, identity: str) -> Manifest:
    return Manifest.model_validate_json(store.read(layout.dataset_manifest(identity)))


def read_split(store: ObjectStore, manifest: Manifest, split: str) -> list[Example]:
    """Raises IntegrityError when a part is not what the manifest says."""
    return [
        example
        for part in manifest.parts_of(split)
        for example in parquet.decode(store.read(part.key, sha256=part.sha256))
    ]


def read_all(store: ObjectStore, manifest: Manifest) -> list[Example]:
    return [example for split in splits.SPLITS for example in read_split(store, manifest, split)]


def build_key(*, tenant: str, watermark: int, recipe: DatasetRecipe, anonymizer: str) -> str:
    """Names a build before it is made, so that a restarted one finds what its predecessor finished."""
    body = f"{tenant}\x1f{watermark}\x1f{recipe.model_dump_json()}\x1f{anonymizer}"
    return sha256(body.encode()).hexdigest()


def _name(record: FeedbackRecord) -> tuple[str, str]:
    return record.tenant, record.id


def _summary(agreement: Agreement) -> RatersAgreement:
    """Rounded, so that the dataset's id does not hang on a last bit."""
    raters = agreement.by_rater.values()
    return RatersAgreement(
        answers=len(agreement.by_answer),
        share=None if agreement.share is None else round(agreement.share, 4),
        alpha=None if agreement.alpha is None else round(agreement.alpha, 4),
        raters=len(raters),
        mostly_alone=sum(2 * rater.agreed < rater.compared for rater in raters),
    )


def _is_wanted(record: FeedbackRecord, recipe: DatasetRecipe) -> bool:
    return (recipe.since is None or record.timestamp >= recipe.since) and (
        recipe.types is None or record.type in recipe.types
    )


def count_by_split_and_kind(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        counts[example.split][example.kind.value] += 1
    return {split: dict(sorted(counts[split].items())) for split in splits.SPLITS}


def _write_part(store: ObjectStore, identity: str, split: str, examples: Sequence[Example]) -> Part:
    data = parquet.encode(examples)
    digest = sha256(data).hexdigest()
    key = layout.dataset_part(identity, split, digest)
    store.write(key, data)
    rows = len(parquet.decode(store.read(key, sha256=digest)))
    return Part(split=split, key=key, rows=rows, bytes=len(data), sha256=digest)


def _write_export(
    store: ObjectStore, identity: str, name: str, split: str, examples: Sequence[Example]
) -> Export:
    lines = list(WRITERS[name](examples))
    key = layout.dataset_export(identity, name, split)
    digest = store.write(key, "".join(f"{line}\n" for line in lines).encode())
    return Export(format=name, split=split, key=key, rows=len(lines), sha256=digest)
