"""What changed from one dataset to another: recipe, counts, examples, splits, feedback.

Of each example id, group and split are held, a few bytes; a part is read at a time, and no text of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import sqlalchemy as sa
from numpy.typing import NDArray

from gateway_tuning.datasets.describing.settings import flat, shown
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.splits import SPLITS
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import dataset_feedback

NAMED = 20  # ids that are named of what may be many

JOINED = "its group was joined with another"
PARTED = "its group came apart"
SHARES = "the recipe's shares of the splits changed"
NEWCOMERS = "new examples joined its group, and their feedback is earlier or of others"
ANCHOR = "the earliest feedback of its group is no longer in the dataset"
_REASONS = (JOINED, PARTED, SHARES, NEWCOMERS, ANCHOR)  # the first that holds is told

Names = NDArray[np.bytes_]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Change:
    """A value by its dotted name; None where one side has none."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class SplitChange:
    """Examples of a split: `stayed` in it, new in it, or gone from it; `moved_in` and `moved_out` are of both sets."""

    split: str
    stayed: int
    added: int
    removed: int
    moved_in: int
    moved_out: int


@dataclass(frozen=True, slots=True)
class Moves:
    """Examples that went from one split to another for one reason; `ids` are the first of them."""

    source: str
    target: str
    reason: str
    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeedbackChange:
    """Records that examples were made of; the ids are the first of each."""

    added: int
    removed: int
    added_ids: tuple[str, ...]
    removed_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """`feedback` is None where it is not known: nobody asked the store, or one side is from before lineage was kept."""

    before: str
    after: str
    made: tuple[Change, ...]  # recipe, anonymizer, versions
    counts: tuple[Change, ...]
    splits: tuple[SplitChange, ...]
    added_ids: tuple[str, ...]
    removed_ids: tuple[str, ...]
    moves: tuple[Moves, ...]
    feedback: FeedbackChange | None

    @property
    def added(self) -> int:
        return sum(one.added for one in self.splits)

    @property
    def removed(self) -> int:
        return sum(one.removed for one in self.splits)


@dataclass(frozen=True, slots=True)
class _Index:
    """By example, in order of ids; `split` indexes `SPLITS`."""

    ids: Names
    groups: Names
    split: NDArray[np.int8]


def difference(
    objects: ObjectStore, before: Manifest, after: Manifest, *, engine: sa.Engine | None = None
) -> Difference:
    """`engine` is asked for feedback. Raises IntegrityError where a part is not what its manifest says."""
    a, b = _index(objects, before), _index(objects, after)
    stays_a, stays_b = _among(a.ids, b.ids), _among(b.ids, a.ids)
    from_, to = a.split[stays_a], b.split[stays_b]
    return Difference(
        before=before.dataset_id,
        after=after.dataset_id,
        made=_changes(_made(before), _made(after)),
        counts=_changes(before.counts.model_dump(), after.counts.model_dump()),
        splits=tuple(
            SplitChange(
                split=split,
                stayed=int(np.sum((from_ == n) & (to == n))),
                added=int(np.sum(b.split[~stays_b] == n)),
                removed=int(np.sum(a.split[~stays_a] == n)),
                moved_in=int(np.sum((from_ != n) & (to == n))),
                moved_out=int(np.sum((from_ == n) & (to != n))),
            )
            for n, split in enumerate(SPLITS)
        ),
        added_ids=_named(b.ids[~stays_b]),
        removed_ids=_named(a.ids[~stays_a]),
        moves=_moves(a, b, stays_a, stays_b, shares_changed=_shares(before) != _shares(after)),
        feedback=None if engine is None else feedback_change(engine, before.dataset_id, after.dataset_id),
    )


def feedback_change(engine: sa.Engine, before: str, after: str) -> FeedbackChange | None:
    with reading(engine) as connection:
        if not (_has_lineage(connection, before) and _has_lineage(connection, after)):
            return None
        removed, removed_ids = _only_in(connection, before, after)
        added, added_ids = _only_in(connection, after, before)
    return FeedbackChange(added, removed, added_ids, removed_ids)


def _index(objects: ObjectStore, manifest: Manifest) -> _Index:
    ids, groups, splits = [np.empty(0, "S1")], [np.empty(0, "S1")], [np.empty(0, np.int8)]
    for part in manifest.parts:
        data = objects.read(part.key, sha256=part.sha256)
        table = pq.read_table(BytesIO(data), columns=["id", "group_id"])
        ids.append(np.array(table["id"].to_pylist(), dtype=np.bytes_))
        groups.append(np.array(table["group_id"].to_pylist(), dtype=np.bytes_))
        splits.append(np.full(table.num_rows, SPLITS.index(part.split), np.int8))
    every = np.concatenate(ids)
    order = np.argsort(every, kind="stable")
    return _Index(every[order], np.concatenate(groups)[order], np.concatenate(splits)[order])


def _moves(
    a: _Index, b: _Index, stays_a: Flags, stays_b: Flags, *, shares_changed: bool
) -> tuple[Moves, ...]:
    """Ids ascend on both sides, so the examples that stay stand in the same order."""
    ids, group_a, group_b = a.ids[stays_a], a.groups[stays_a], b.groups[stays_b]
    from_, to = a.split[stays_a], b.split[stays_b]
    holds = np.stack(
        [
            _meets_several(group_b, group_a),
            _meets_several(group_a, group_b),
            np.full(len(ids), shares_changed),
            np.isin(group_b, b.groups[~stays_b]),
            np.ones(len(ids), np.bool_),
        ]
    )
    reason = np.argmax(holds, axis=0)
    return tuple(
        Moves(SPLITS[source], SPLITS[target], _REASONS[why], int(which.sum()), _named(ids[which]))
        for source in range(len(SPLITS))
        for target in range(len(SPLITS))
        if source != target
        for why in range(len(_REASONS))
        if (which := (from_ == source) & (to == target) & (reason == why)).any()
    )


def _meets_several(groups: Names, others: Names) -> Flags:
    """By example, whether the examples of its group are of several of the other groups."""
    if not len(groups):
        return np.empty(0, np.bool_)
    _, group = np.unique(groups, return_inverse=True)
    _, other = np.unique(others, return_inverse=True)
    pairs = np.unique(np.stack([group, other]), axis=1)
    several: Flags = np.bincount(pairs[0])[group] > 1
    return several


def _among(ids: Names, others: Names) -> Flags:
    """Both ascend."""
    if not len(others):
        return np.zeros(len(ids), np.bool_)
    place = np.minimum(np.searchsorted(others, ids), len(others) - 1)
    found: Flags = others[place] == ids
    return found


def _named(ids: Names) -> tuple[str, ...]:
    return tuple(id_.decode() for id_ in ids[:NAMED].tolist())


def _made(manifest: Manifest) -> dict[str, Any]:
    return {
        "recipe": manifest.recipe.model_dump(mode="json"),
        "anonymizer": manifest.anonymizer,
        "schema_version": manifest.schema_version,
        "layout_version": manifest.layout_version,
    }


def _shares(manifest: Manifest) -> tuple[float, float]:
    return manifest.recipe.validation_share, manifest.recipe.test_share


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    a, b = dict(flat(before)), dict(flat(after))
    return tuple(
        Change(name, shown(name, a.get(name)), shown(name, b.get(name))) for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)
    )  # fmt: skip


def _has_lineage(connection: sa.Connection, dataset_id: str) -> bool:
    query = sa.select(dataset_feedback.c.feedback_id).where(dataset_feedback.c.dataset_id == dataset_id)
    return connection.execute(query.limit(1)).first() is not None


def _only_in(connection: sa.Connection, mine: str, other: str) -> tuple[int, tuple[str, ...]]:
    theirs = dataset_feedback.alias()
    in_other = sa.exists().where(
        theirs.c.dataset_id == other, theirs.c.feedback_id == dataset_feedback.c.feedback_id, theirs.c.used
    )
    of_mine = (dataset_feedback.c.dataset_id == mine, dataset_feedback.c.used, ~in_other)
    count = connection.execute(sa.select(sa.func.count()).select_from(dataset_feedback).where(*of_mine))
    ids = sa.select(dataset_feedback.c.feedback_id).where(*of_mine)
    named = connection.execute(ids.order_by(dataset_feedback.c.feedback_id).limit(NAMED)).scalars()
    return count.scalar_one(), tuple(named)
