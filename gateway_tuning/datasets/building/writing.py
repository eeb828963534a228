"""Last stages: examples to Parquet, rejected ones beside them, and what became of every record."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway_tuning.datasets import parquet
from gateway_tuning.datasets.building import arrays
from gateway_tuning.datasets.building.arranging import BALANCE, DUPLICATE, DUPLICATES, KEPT
from gateway_tuning.datasets.building.codec import draft_of, joined, pack, unpack
from gateway_tuning.datasets.building.plan import Plan
from gateway_tuning.datasets.building.reading import Read
from gateway_tuning.datasets.building.resolving import Resolved
from gateway_tuning.datasets.building.workshop import Workshop
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.formats import WRITERS
from gateway_tuning.datasets.manifest import Part
from gateway_tuning.datasets.published import lines_of, write_part, write_rejected
from gateway_tuning.datasets.quality.balance import OVER_RATIO
from gateway_tuning.datasets.quality.deduplicate import NEAR_DUPLICATE
from gateway_tuning.datasets.quality.filters import Reason
from gateway_tuning.datasets.quality.rejected import Rejected, rejected
from gateway_tuning.datasets.quality.shingles import hash64
from gateway_tuning.datasets.selection import Choice, decide
from gateway_tuning.datasets.splits import SPLITS, TRAIN, example
from gateway_tuning.storage import layout


@dataclass(frozen=True, slots=True)
class WriteJob:
    plan: Plan
    resolved: Resolved
    dataset_id: str
    balance_reason: str | None


@dataclass(frozen=True, slots=True)
class TallyJob:
    """`told` has, by bucket, where it stands what was decided there on the block's records."""

    plan: Plan
    read: Read
    told: tuple[tuple[int, tuple[int, int]], ...]
    balance_reason: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    used: int
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Wrote:
    """A part for each split that the bucket has examples of, and one for its rejected ones.

    `lines` has, by format and split, where its lines stand in what the bucket left, and how many.
    """

    bucket: int
    parts: tuple[Part, ...]
    rejected: Part | None
    lines: dict[tuple[str, str], tuple[tuple[int, int], int]]


def write_bucket(workshop: Workshop, job: WriteJob) -> Wrote:
    by_split: dict[str, list[Example]] = {split: [] for split in SPLITS}
    out: list[Rejected] = []
    for one, verdict, stays in placed(workshop, job.plan, job.resolved):
        if verdict == KEPT:
            by_split[one.split].append(one)
        elif verdict == DUPLICATE:
            out.append(
                rejected(one, DUPLICATES, Reason(NEAR_DUPLICATE, f"{NEAR_DUPLICATE} {stays}"), by=stays)
            )
        else:
            out.append(rejected(one, BALANCE, Reason(OVER_RATIO, job.balance_reason or OVER_RATIO)))
    for row, (stage, reason, by) in _segment(workshop, job.plan, job.resolved, 1):
        out.append(rejected(example(draft_of(row), 0, ""), stage, Reason(**reason), by=by))
    if job.plan.recipe.augmentation.is_on:
        added = layout.build_file(job.plan.key, "augmented", job.resolved.bucket)
        by_split[TRAIN] += parquet.decode(workshop.objects.read(added))
    names = [(name, split) for name in WRITERS for split in SPLITS]
    written = [lines_of(name, by_split[split]) for name, split in names]
    data, ranges = joined(lines for lines, _ in written)
    workshop.objects.write(layout.build_file(job.plan.key, "lines", job.resolved.bucket), data)
    where = zip(ranges, (count for _, count in written), strict=True)
    return Wrote(
        bucket=job.resolved.bucket,
        parts=tuple(
            write_part(workshop.objects, job.dataset_id, split, found)
            for split, found in by_split.items()
            if found
        ),
        rejected=write_rejected(workshop.objects, job.dataset_id, out) if out else None,
        lines=dict(zip(names, where, strict=True)),
    )


def lines_of_export(
    workshop: Workshop, plan: Plan, wrote: Sequence[Wrote], name: str, split: str
) -> Iterator[tuple[bytes, int]]:
    """A bucket's lines at a time, and how many they are."""
    for one in wrote:
        (start, end), count = one.lines[name, split]
        if count:
            key = layout.build_file(plan.key, "lines", one.bucket)
            yield workshop.objects.read_range(key, start, end), count


def tally_block(workshop: Workshop, job: TallyJob) -> Tally:
    """Counts, and leaves what became of each record of the block: the rows of `fates.Fate`."""
    plan, number = job.plan, job.read.number
    rows = unpack(
        workshop.objects.read_range(layout.build_file(plan.key, "read", number), *job.read.ranges[-1])
    )
    lost_votes: dict[str, tuple[str, str]] = {}
    rejections: dict[str, tuple[str, str]] = {}
    for bucket, (start, end) in job.told:
        told = unpack(workshop.objects.read_range(layout.build_file(plan.key, "told", bucket), start, end))
        lost_votes |= told["lost"]
        rejections |= told["rejected"]
    table = arrays.decode(workshop.objects.read(layout.build_file(plan.key, "used", number)))
    late = _late(table, job.balance_reason)
    names = [f"{plan.tenant}\x1f{row[0]}" for row in rows]
    keys = np.array([hash64(name) for name in names], np.uint64)
    is_used = np.isin(keys, table["used"])
    left_out: Counter[str] = Counter()
    found: list[tuple[str, str | None, bool, str | None]] = []
    for (id_, subject, code, reason), name, key, used in zip(
        rows, names, keys.tolist(), is_used.tolist(), strict=True
    ):
        if reason is None:
            rejection = rejections.get(name) or late.get(key)
            chosen = decide(code, is_used=used, lost_vote=lost_votes.get(name), rejection=rejection)
        else:
            chosen = Choice(False, code, reason)
        left_out.update(() if chosen.is_used else (chosen.code,))
        found.append((id_, subject, chosen.is_used, chosen.reason))
    workshop.objects.write(layout.build_file(plan.key, "fates", number), pack(found))
    return Tally(int(is_used.sum()), dict(left_out))


def placed(workshop: Workshop, plan: Plan, resolved: Resolved) -> Iterator[tuple[Example, int, str]]:
    """Each draft that came through the filters, its verdict, and the example that stays in its place."""
    rows = _segment(workshop, plan, resolved, 0)
    places = arrays.decode(workshop.objects.read(layout.build_file(plan.key, "places", resolved.bucket)))
    columns = (places[name].tolist() for name in ("verdict", "split", "group", "stays", "stays_end"))
    for row, verdict, split, group, stays, end in zip(rows, *columns, strict=True):
        yield example(draft_of(row), group, SPLITS[split]), verdict, f"{stays:016x}{end:08x}"


def _segment(workshop: Workshop, plan: Plan, resolved: Resolved, number: int) -> Any:
    start, end = resolved.ranges[number]
    return unpack(
        workshop.objects.read_range(layout.build_file(plan.key, "drafts", resolved.bucket), start, end)
    )


def _late(table: arrays.Arrays, balance_reason: str | None) -> dict[int, tuple[str, str]]:
    """Code and reason of records whose examples were left out when all were compared."""
    columns = (table[name].tolist() for name in ("lost", "verdict", "stays", "stays_end"))
    return {
        key: (NEAR_DUPLICATE, f"{NEAR_DUPLICATE} {stays:016x}{end:08x}")
        if verdict == DUPLICATE
        else (OVER_RATIO, balance_reason or OVER_RATIO)
        for key, verdict, stays, end in zip(*columns, strict=True)
    }
