"""Fourth stage, in one place: duplicates, groups, splits and balance over all drafts, from their traits alone.

The signatures lie in a file that is mapped, not in memory. Nothing here grows faster than the number of drafts.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.datasets.building import arrays
from gateway_tuning.datasets.building.codec import draft_of, unpack
from gateway_tuning.datasets.building.plan import Plan
from gateway_tuning.datasets.building.resolving import KINDS, Resolved, Traits, group_keys, traits
from gateway_tuning.datasets.building.workshop import Workshop
from gateway_tuning.datasets.draft import Draft
from gateway_tuning.datasets.manifest import Leakage
from gateway_tuning.datasets.quality.balance import OVER_RATIO, balance
from gateway_tuning.datasets.quality.deduplicate import NEAR_DUPLICATE, best_of_equals
from gateway_tuning.datasets.quality.near_duplicates import PROMPT_THRESHOLD, clusters, most_similar
from gateway_tuning.datasets.quality.shingles import Hashes, Indexes, jaccard, shingle_sets
from gateway_tuning.datasets.quality.signatures import PERMUTATIONS, Signatures
from gateway_tuning.datasets.splits import SPLITS, TEST, TRAIN, Assignment, GroupKeys, assign
from gateway_tuning.storage import layout

DUPLICATES, BALANCE = "duplicates", "balance"
KEPT, DUPLICATE, UNBALANCED = 0, 1, 2  # verdicts
_ROWS_AT_ONCE = 10_000
SIMILARITY_FLOOR = 0.4  # of prompts: pairs less alike than this are not looked for


@dataclass(frozen=True, slots=True)
class Arranged:
    """`examples` counts by split and kind. `balance_reason` speaks for every answer that balancing left out."""

    examples: dict[str, dict[str, int]]
    groups: int
    leakage: Leakage
    digest: str  # of the ids in each split
    rejected: dict[str, int]  # by code
    balance_reason: str | None


def arrange(workshop: Workshop, plan: Plan, resolved: Sequence[Resolved]) -> Arranged:
    """Leaves, by bucket, verdict, split and group of each draft, and by block, which records were used or lost."""
    loaded = [
        arrays.decode(workshop.objects.read(layout.build_file(plan.key, "traits", one.bucket)))
        for one in resolved
    ]
    keys = GroupKeys.joined([group_keys(one) for one in loaded])
    known = _joined([traits(one) for one in loaded], [one.kept for one in resolved])
    loaded.clear()
    with tempfile.TemporaryDirectory() as folder:
        asked = _signatures(workshop, plan, resolved, "asked", Path(folder))
        given = assign(
            keys,
            _looked_up(asked, clusters(asked, threshold=PROMPT_THRESHOLD), known.prompt),
            validation_share=plan.recipe.validation_share,
            test_share=plan.recipe.test_share,
        )
        said = _signatures(workshop, plan, resolved, "said", Path(folder))
        alike = clusters(said, threshold=plan.recipe.quality.near_duplicate_threshold)
        texts = (_looked_up(said, alike, of) for of in (known.context, known.answer, known.rival))
        stays = best_of_equals(
            same=(known.kind, known.label, *texts),
            rank=(known.corrected, known.raters, known.newest),
            ids=keys.ids,
        )
        verdict = np.where(stays == np.arange(len(stays)), KEPT, DUPLICATE).astype(np.int8)
        reason = _balance(keys, known, given, verdict, plan)
        kept = verdict == KEPT
        if plan.recipe.augmentation.is_on:
            held = np.unique(known.prompt[kept & (given.split != SPLITS.index(TRAIN))])
            minima = asked.minima[np.searchsorted(asked.exact, held)]
            away_from = {"exact": held, "minima": minima, "known": asked.exact}
            workshop.objects.write(layout.build_file(plan.key, "held", 0), arrays.encode(away_from))
        nearest = _nearest(asked, known, keys, given, kept)
    leakage = _leakage(workshop, plan, resolved, given, kept, nearest)
    _leave(workshop, plan, resolved, keys, known, given, verdict, stays)
    _tell(workshop, plan, keys, known, kept, verdict, stays)
    return Arranged(
        examples=_counts(known, given, kept),
        groups=len(np.unique(given.group[kept])),
        leakage=leakage,
        digest=_digest(keys, given, kept),
        rejected=_rejections(verdict),
        balance_reason=reason,
    )


def _joined(parts: Sequence[Traits], counts: Sequence[int]) -> Traits:
    starts = np.cumsum([0, *counts])
    table = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Traits.__slots__}
    table["source_draft"] = np.concatenate(
        [part.source_draft + start for part, start in zip(parts, starts, strict=False)]
    )
    return Traits(**table)


def _signatures(
    workshop: Workshop, plan: Plan, resolved: Sequence[Resolved], name: str, folder: Path
) -> Signatures:
    """Each different text once, in order of its hash; a bucket's minima are held at a time."""
    keys = [layout.build_file(plan.key, "signatures", one.bucket) for one in resolved]
    exact = [arrays.decode(workshop.objects.read(key))[f"{name}_exact"] for key in keys]
    every = np.unique(np.concatenate(exact))
    shape = (len(every), PERMUTATIONS)
    if not len(every):
        return Signatures(every, np.empty(shape, np.uint32))
    minima = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.uint32, shape=shape)
    signatures = Signatures(every, minima)
    for key, own in zip(keys, exact, strict=True):
        rows = np.searchsorted(every, own)
        found = arrays.decode(workshop.objects.read(key))[f"{name}_minima"]
        for start in range(0, len(rows), _ROWS_AT_ONCE):  # each may lie on a page of its own
            some = slice(start, start + _ROWS_AT_ONCE)
            minima[rows[some]] = found[some]
            signatures.let_go()
    return signatures


def _looked_up(signatures: Signatures, values: Hashes, hashes: Hashes) -> Hashes:
    """The value of each text; 0 for the hash 0, which stands for no text."""
    if not len(signatures):
        return np.zeros(len(hashes), np.uint64)
    place = np.searchsorted(signatures.exact, hashes)
    found = values[np.minimum(place, len(values) - 1)]
    return np.where(hashes == 0, np.uint64(0), found)


def _balance(
    keys: GroupKeys, known: Traits, given: Assignment, verdict: NDArray[np.int8], plan: Plan
) -> str | None:
    """Of the train split alone: what is held out stays as people judged it."""
    candidates = np.flatnonzero((verdict == KEPT) & (known.label >= 0) & (given.split == SPLITS.index(TRAIN)))
    by_id = {f"{keys.ids[index]:016x}": index for index in candidates.tolist()}
    balanced = balance(((id_, bool(known.label[index])) for id_, index in by_id.items()), plan.recipe.quality)
    for id_, _ in balanced.rejected:
        verdict[by_id[id_]] = UNBALANCED
    return balanced.rejected[0][1].text if balanced.rejected else None


def _nearest(
    asked: Signatures, known: Traits, keys: GroupKeys, given: Assignment, kept: NDArray[np.bool_]
) -> tuple[int, int] | None:
    """The drafts of test and train whose prompts are most alike, of those that share a band."""
    members: list[tuple[Indexes, Indexes]] = []
    for split in (TEST, TRAIN):
        own = np.flatnonzero(kept & (given.split == SPLITS.index(split)))
        own = own[np.argsort(keys.ids[own])]
        hashes, first = np.unique(known.prompt[own], return_index=True)
        members.append((np.searchsorted(asked.exact, hashes), own[first]))
    (tests, test_drafts), (trains, train_drafts) = members
    found = most_similar(asked, tests, trains, floor=SIMILARITY_FLOOR)
    if found is None:
        return None
    test, train = np.searchsorted(tests, found.test), np.searchsorted(trains, found.train)
    return int(test_drafts[test]), int(train_drafts[train])


def _leakage(  # noqa: PLR0917 - all of them are looked at
    workshop: Workshop,
    plan: Plan,
    resolved: Sequence[Resolved],
    given: Assignment,
    kept: NDArray[np.bool_],
    nearest: tuple[int, int] | None,
) -> Leakage:
    pairs = np.unique(np.stack([given.group[kept], given.split[kept].astype(np.uint64)]), axis=1)
    shared = pairs.shape[1] - len(np.unique(pairs[0]))
    if nearest is None:
        return Leakage(shared_groups=shared, floor=SIMILARITY_FLOOR)
    drafts = [_draft(workshop, plan, resolved, index) for index in nearest]
    left, right = shingle_sets([draft.context.prompt for draft in drafts])
    return Leakage(
        shared_groups=shared,
        floor=SIMILARITY_FLOOR,
        highest_similarity=round(jaccard(left, right), 4),
        test_example=drafts[0].id,
        train_example=drafts[1].id,
    )


def _draft(workshop: Workshop, plan: Plan, resolved: Sequence[Resolved], index: int) -> Draft:
    ends = np.cumsum([one.kept for one in resolved])
    place = int(np.searchsorted(ends, index, "right"))
    one = resolved[place]
    rows = unpack(
        workshop.objects.read_range(layout.build_file(plan.key, "drafts", one.bucket), *one.ranges[0])
    )
    return draft_of(rows[index - int(ends[place]) + one.kept])


def _leave(  # noqa: PLR0917 - all of them are left
    workshop: Workshop,
    plan: Plan,
    resolved: Sequence[Resolved],
    keys: GroupKeys,
    known: Traits,
    given: Assignment,
    verdict: NDArray[np.int8],
    stays: Indexes,
) -> None:
    start = 0
    for one in resolved:
        own = slice(start, start + one.kept)
        table = {
            "verdict": verdict[own],
            "split": given.split[own],
            "group": given.group[own],
            "stays": keys.ids[stays[own]],
            "stays_end": known.id_end[stays[own]],
        }
        workshop.objects.write(layout.build_file(plan.key, "places", one.bucket), arrays.encode(table))
        start += one.kept


def _tell(  # noqa: PLR0917 - all of them are told
    workshop: Workshop,
    plan: Plan,
    keys: GroupKeys,
    known: Traits,
    kept: NDArray[np.bool_],
    verdict: NDArray[np.int8],
    stays: Indexes,
) -> None:
    """By block, which of its records were used, and what became of examples of the others."""
    order = np.argsort(known.source_block, kind="stable")
    bounds = np.searchsorted(known.source_block[order], np.arange(len(plan.blocks) + 1))
    for block in plan.blocks:
        own = order[bounds[block.number] : bounds[block.number + 1]]
        key, draft = known.source_key[own], known.source_draft[own]
        gone = ~kept[draft]
        lost = draft[gone]
        table = {
            "used": np.unique(key[~gone]),
            "lost": key[gone],
            "verdict": verdict[lost],
            "stays": keys.ids[stays[lost]],
            "stays_end": known.id_end[stays[lost]],
        }
        workshop.objects.write(layout.build_file(plan.key, "used", block.number), arrays.encode(table))


def _counts(known: Traits, given: Assignment, kept: NDArray[np.bool_]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for number, split in enumerate(SPLITS):
        found = np.bincount(known.kind[kept & (given.split == number)], minlength=len(KINDS)).tolist()
        by_kind = {kind.value: count for kind, count in zip(KINDS, found, strict=True) if count}
        counts[split] = dict(sorted(by_kind.items()))
    return counts


def _digest(keys: GroupKeys, given: Assignment, kept: NDArray[np.bool_]) -> str:
    found = sha256()
    for number in range(len(SPLITS)):
        found.update(np.sort(keys.ids[kept & (given.split == number)]).astype(">u8").tobytes() + b"/")
    return found.hexdigest()


def _rejections(verdict: NDArray[np.int8]) -> dict[str, int]:
    names = {NEAR_DUPLICATE: DUPLICATE, OVER_RATIO: UNBALANCED}
    counts = {code: int((verdict == value).sum()) for code, value in names.items()}
    return {code: count for code, count in counts.items() if count}
