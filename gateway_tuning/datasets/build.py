"""From stored feedback to a dataset on object storage: anonymize, select, split, write, publish."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gateway_tuning.datasets import parquet, splits
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.formats import WRITERS
from gateway_tuning.datasets.manifest import Counts, Export, Manifest, Part, dataset_id
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.datasets.selection import newest, select, texts, with_texts
from gateway_tuning.feedback.anonymization import AnonymizationFailure, Anonymizer
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.storage import layout
from gateway_tuning.storage.object_store import ObjectStore

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class BuiltDataset:
    """Examples ordered by id, and the records that could not be anonymized, with the reason."""

    examples: tuple[Example, ...]
    counts: Counts
    failures: tuple[tuple[FeedbackRecord, str], ...]


def build(
    records: Sequence[FeedbackRecord],
    recipe: DatasetRecipe,
    anonymizer: Anonymizer,
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> BuiltDataset:
    """Only anonymized text gets past this function.

    Args:
        records: usable feedback of one tenant.
        recipe: what to take and how to split.
        anonymizer: finds and replaces personal data.
        on_progress: called with (records anonymized, records in all).
    """
    wanted = [record for record in records if _is_wanted(record, recipe)]
    taken = newest(wanted, recipe.max_records)
    left_out = Counter(
        {"outside_recipe": len(records) - len(wanted), "over_max_records": len(wanted) - len(taken)}
    )
    clean: list[FeedbackRecord] = []
    failures: list[tuple[FeedbackRecord, str]] = []
    entities: Counter[str] = Counter()
    for start in range(0, len(taken), _CHUNK):
        chunk = taken[start : start + _CHUNK]
        for record, result in zip(
            chunk, anonymizer.anonymize([texts(record) for record in chunk]), strict=True
        ):
            if isinstance(result, AnonymizationFailure):
                failures.append((record, result.reason))
                continue
            clean.append(with_texts(record, result.fields))
            entities.update(result.entities)
        on_progress(min(start + _CHUNK, len(taken)), len(taken))
    left_out["anonymization_failed"] = len(failures)

    selection = select(
        clean, max_pairs_per_prompt=recipe.max_pairs_per_prompt, min_rating_gap=recipe.min_rating_gap
    )
    examples = splits.assign(
        selection.drafts, validation_share=recipe.validation_share, test_share=recipe.test_share
    )
    left_out.update(selection.left_out)
    counts = Counts(
        records=len(records),
        used=selection.used,
        left_out={reason: count for reason, count in sorted(left_out.items()) if count},
        examples=_count_by_split_and_kind(examples),
        entities=dict(sorted(entities.items())),
        groups=len({example.group_id for example in examples}),
        shared_groups=len(splits.shared_groups(examples)),
    )
    return BuiltDataset(tuple(examples), counts, tuple(failures))


def publish(
    built: BuiltDataset, recipe: DatasetRecipe, store: ObjectStore, *, tenant: str, anonymizer: str
) -> Manifest:
    """Write parts and exports, check them, then the manifest. Until then the dataset does not exist.

    Publishing equal content again changes nothing and returns the same manifest.
    """
    by_split: dict[str, list[Example]] = {split: [] for split in splits.SPLITS}
    for example in built.examples:
        by_split[example.split].append(example)
    identity = dataset_id(
        {split: [example.id for example in examples] for split, examples in by_split.items()},
        tenant=tenant,
        recipe=recipe,
        anonymizer=anonymizer,
        counts=built.counts,
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
        counts=built.counts,
        parts=tuple(_write_part(store, identity, split, examples) for split, examples in by_split.items()),
        exports=tuple(
            _write_export(store, identity, name, split, examples)
            for name in WRITERS
            for split, examples in by_split.items()
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


def _is_wanted(record: FeedbackRecord, recipe: DatasetRecipe) -> bool:
    return (recipe.since is None or record.timestamp >= recipe.since) and (
        recipe.types is None or record.type in recipe.types
    )


def _count_by_split_and_kind(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
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
