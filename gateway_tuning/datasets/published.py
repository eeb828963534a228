"""Datasets as they lie on object storage: written once, found by their manifest, never half there."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from gateway_tuning.datasets import parquet, splits
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.formats import WRITERS, writer
from gateway_tuning.datasets.manifest import Counts, Export, Leakage, Manifest, Part, dataset_id
from gateway_tuning.datasets.quality import rejected as rejected_parquet
from gateway_tuning.datasets.quality.rejected import Rejected
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.storage import layout
from gateway_tuning.storage.object_store import ObjectStore

REJECTED = "rejected"
Lines = Callable[
    [str, str], Iterable[tuple[bytes, int]]
]  # of a format and a split: lines by part, and how many


def write_dataset(
    examples: Sequence[Example],
    counts: Counts,
    recipe: DatasetRecipe,
    store: ObjectStore,
    *,
    tenant: str,
    anonymizer: str,
    replaces: str,
    leakage: Leakage | None,
    rejected: Sequence[Rejected],
) -> Manifest:
    """What is left of the dataset `replaces`. Writing equal content again changes nothing."""
    by_split: dict[str, list[Example]] = {split: [] for split in splits.SPLITS}
    for example in examples:
        by_split[example.split].append(example)
    identity = dataset_id(
        digest({split: [example.id for example in part] for split, part in by_split.items()}),
        tenant=tenant,
        recipe=recipe,
        anonymizer=anonymizer,
        counts=counts,
        replaces=replaces,
    )
    if store.exists(layout.dataset_manifest(identity)):
        return read_manifest(store, identity)
    return publish(
        Manifest(
            dataset_id=identity,
            layout_version=layout.LAYOUT_VERSION,
            schema_version=parquet.SCHEMA_VERSION,
            tenant=tenant,
            recipe=recipe,
            anonymizer=anonymizer,
            counts=counts,
            replaces=replaces,
            leakage=leakage,
            parts=tuple(write_part(store, identity, split, part) for split, part in by_split.items() if part),
            rejected=(write_rejected(store, identity, rejected),) if rejected else (),
            exports=(),
        ),
        store,
    )


def publish(
    manifest: Manifest,
    store: ObjectStore,
    *,
    lines: Lines | None = None,
    check: Callable[[Manifest], None] = lambda _manifest: None,
) -> Manifest:
    """Write the exports, then the manifest. Until then the dataset does not exist.

    Args:
        manifest: without exports; its parts are written.
        store: where.
        lines: those of an export, made when the parts were; without it they are made of the parts.
        check: sees all that is written before the manifest is, and raises where it must not be.
    """

    def of_parts(name: str, split: str) -> Iterator[tuple[bytes, int]]:
        return (lines_of(name, part) for part in read_parts(store, manifest, split))

    exports = tuple(
        _write_export(store, manifest.dataset_id, name, split, (lines or of_parts)(name, split))
        for name in WRITERS
        for split in splits.SPLITS
    )
    whole = manifest.model_copy(update={"exports": exports})
    check(whole)
    store.write_new(layout.dataset_manifest(whole.dataset_id), whole.encode())
    return whole


def lines_of(name: str, examples: Sequence[Example]) -> tuple[bytes, int]:
    """The lines that an export has of a part, and how many."""
    written = list(WRITERS[name](ordered(examples)))
    return "".join(f"{line}\n" for line in written).encode(), len(written)


def ordered(examples: Iterable[Example]) -> list[Example]:
    return sorted(examples, key=lambda example: example.id)


def write_part(store: ObjectStore, identity: str, split: str, examples: Sequence[Example]) -> Part:
    """Ordered by id, read back and counted before it counts."""
    data = parquet.encode(ordered(examples))
    checksum = sha256(data).hexdigest()
    key = layout.dataset_part(identity, split, checksum)
    store.write(key, data)
    rows = parquet.rows(store.read(key, sha256=checksum))
    return Part(split=split, key=key, rows=rows, bytes=len(data), sha256=checksum)


def write_rejected(store: ObjectStore, identity: str, found: Sequence[Rejected]) -> Part:
    data = rejected_parquet.encode(found)
    checksum = sha256(data).hexdigest()
    key = layout.dataset_rejected(identity, checksum)
    store.write(key, data)
    return Part(split=REJECTED, key=key, rows=len(found), bytes=len(data), sha256=checksum)


def read_manifest(store: ObjectStore, identity: str) -> Manifest:
    return Manifest.decode(store.read(layout.dataset_manifest(identity)))


def read_parts(store: ObjectStore, manifest: Manifest, split: str) -> Iterator[list[Example]]:
    """A part at a time. Raises IntegrityError when a part is not what the manifest says."""
    for part in manifest.parts_of(split):
        yield parquet.decode(store.read(part.key, sha256=part.sha256))


def read_split(store: ObjectStore, manifest: Manifest, split: str) -> list[Example]:
    return [example for part in read_parts(store, manifest, split) for example in part]


def read_all(store: ObjectStore, manifest: Manifest) -> list[Example]:
    return [example for split in splits.SPLITS for example in read_split(store, manifest, split)]


def read_rejected(store: ObjectStore, manifest: Manifest) -> list[Rejected]:
    return [
        one
        for part in manifest.rejected
        for one in rejected_parquet.decode(store.read(part.key, sha256=part.sha256))
    ]


def export_to(path: Path, store: ObjectStore, manifest: Manifest, name: str, split: str) -> Path | None:
    """A split as a file of this format; None, and no file, where no example of it fits the format.

    Raises:
        ConfigurationError: there is no such format.
        IntegrityError: what is stored is not what the manifest says.
    """
    known = next((one for one in manifest.exports if (one.format, one.split) == (name, split)), None)
    if known is not None:
        return store.download(known.key, path, sha256=known.sha256) if known.rows else None
    lines = writer(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        written = sum(
            stream.write(f"{line}\n")
            for part in read_parts(store, manifest, split)
            for line in lines(ordered(part))
        )
    if not written:
        path.unlink()
    return path if written else None


def count_by_split_and_kind(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        counts[example.split][example.kind.value] += 1
    return {split: dict(sorted(counts[split].items())) for split in splits.SPLITS}


def digest(ids: dict[str, list[str]]) -> str:
    """Of the beginnings of the ids in each split, in no order."""
    found = sha256()
    for split in splits.SPLITS:
        found.update(b"".join(sorted(bytes.fromhex(id_[:16]) for id_ in ids[split])) + b"/")
    return found.hexdigest()


def _write_export(
    store: ObjectStore, identity: str, name: str, split: str, lines: Iterable[tuple[bytes, int]]
) -> Export:
    key = layout.dataset_export(identity, name, split)
    rows = 0

    def chunks() -> Iterator[bytes]:
        nonlocal rows
        for chunk, count in lines:
            rows += count
            yield chunk

    checksum = store.write_stream(key, chunks())
    return Export(format=name, split=split, key=key, rows=rows, sha256=checksum)
