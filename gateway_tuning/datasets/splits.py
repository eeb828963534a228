"""Give every example a group and a split so that nothing leaks from test into training. Pure.

A group is a connected component over users, conversations, records and prompts; prompts are one when they are equal,
white space and case apart, or near-duplicates of each other. Its split comes from a hash of whom its earliest record is
of (conversation, prompt where nobody is named), so later data moves an old example only when it joins two groups, and
then only the examples of the later one.

All that is looked at fits into a few numbers a draft, so that one machine can group what many have made.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.datasets.draft import Draft, Source
from gateway_tuning.datasets.example import Example

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
_SALT = "splits-2"

Hashes = NDArray[np.uint64]
Indexes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GroupKeys:
    """Of n drafts: `ids` begin their ids, `since` is the time of their earliest record in microseconds, and `anchor`
    tells whom that is of. Draft `edge_draft[i]` has the key `edge_key[i]`; drafts that share one are in one group.
    """  # noqa: D205 - one sentence

    ids: Hashes
    since: Indexes
    anchor: Hashes
    edge_draft: Indexes
    edge_key: Hashes

    @staticmethod
    def of(drafts: Sequence[Draft]) -> "GroupKeys":
        earliest = [min(draft.sources, key=lambda source: (source.at, source.key)) for draft in drafts]
        known = _Hashed()
        edges = [(index, known[key]) for index, draft in enumerate(drafts) for key in _keys(draft)]
        return GroupKeys(
            ids=np.array([int(draft.id[:16], 16) for draft in drafts], np.uint64),
            since=np.array([int(source.at.timestamp() * 1e6) for source in earliest], np.int64),
            anchor=np.array(
                [known[_anchor(one, draft)] for one, draft in zip(earliest, drafts, strict=True)], np.uint64
            ),
            edge_draft=np.array([index for index, _ in edges], np.int64),
            edge_key=np.array([key for _, key in edges], np.uint64),
        )

    @staticmethod
    def joined(parts: Sequence["GroupKeys"]) -> "GroupKeys":
        """Of all drafts, those of the first part first."""
        starts = np.cumsum([0, *(len(part.ids) for part in parts)])
        return GroupKeys(
            ids=np.concatenate([part.ids for part in parts]),
            since=np.concatenate([part.since for part in parts]),
            anchor=np.concatenate([part.anchor for part in parts]),
            edge_draft=np.concatenate(
                [part.edge_draft + start for part, start in zip(parts, starts, strict=False)]
            ),
            edge_key=np.concatenate([part.edge_key for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Assignment:
    """By draft: `group` has its group's public name, a number made of anonymized content; `split` indexes `SPLITS`."""

    group: Hashes
    split: NDArray[np.int8]


def assign(
    keys: GroupKeys, near_prompts: NDArray[Any] | None = None, *, validation_share: float, test_share: float
) -> Assignment:
    """The shares are shares of groups, met in expectation.

    Args:
        keys: of all drafts of a dataset.
        near_prompts: by draft, the number of its prompt's cluster of near-duplicates.
        validation_share: of the groups.
        test_share: of the groups.
    """
    count = len(keys.ids)
    if not count:
        return Assignment(np.empty(0, np.uint64), np.empty(0, np.int8))
    member = _components(keys, near_prompts)
    # Within a group the earliest draft comes first: its anchor decides, and the smallest id names the group.
    order = np.lexsort((keys.ids, keys.anchor, keys.since, member))
    first = np.r_[True, member[order][1:] != member[order][:-1]]
    anchors = keys.anchor[order][first]
    names = np.minimum.reduceat(keys.ids[order], np.flatnonzero(first))
    position = np.array([_position(int(anchor)) for anchor in anchors])
    split = np.where(position < test_share, 2, np.where(position < test_share + validation_share, 1, 0))
    return Assignment(names[member], split.astype(np.int8)[member])


def example(draft: Draft, group: int, split: str) -> Example:
    """A hash of a user id could be guessed back, so that subjects are the only trace of users in an example."""
    subjects = {source.subject for source in draft.sources}
    return Example(
        id=draft.id,
        kind=draft.kind,
        messages=draft.context.messages,
        answer=draft.answer,
        rejected=draft.rejected,
        desirable=draft.desirable,
        feedback_ids=tuple(source.feedback_id for source in draft.sources),
        feedback_types=tuple(sorted({source.type.value for source in draft.sources})),
        last_feedback_at=draft.last_feedback_at,
        group_id=f"{group:016x}",
        split=split,
        subject_ids=tuple(sorted(subject for subject in subjects if subject is not None)),
        tools=draft.context.tools,
        confidence=draft.confidence,
    )


def shared_groups(examples: Iterable[Example]) -> set[str]:
    """Groups that stand in more than one split: empty, or the splits leak."""
    splits: dict[str, set[str]] = defaultdict(set)
    for one in examples:
        splits[one.group_id].add(one.split)
    return {group for group, found in splits.items() if len(found) > 1}


def normalized(prompt: str) -> str:
    return " ".join(prompt.casefold().split())


def _components(keys: GroupKeys, near_prompts: NDArray[Any] | None) -> Indexes:
    """A number a group, from 0, in no order that means anything."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(keys.ids)
    # 32 bits an index while they suffice: this is where the memory of a large build peaks.
    node = np.int32 if 2 * count + len(keys.edge_key) < np.iinfo(np.int32).max else np.int64
    key = np.unique(keys.edge_key, return_inverse=True)[1].astype(node)
    rows, columns = [keys.edge_draft.astype(node)], [key + count]
    nodes = count + (int(key.max()) + 1 if len(key) else 0)
    if near_prompts is not None:
        cluster = np.unique(near_prompts, return_inverse=True)[1].astype(node)
        rows.append(np.arange(count, dtype=node))
        columns.append(cluster + nodes)
        nodes += int(cluster.max()) + 1
    row, column = np.concatenate(rows), np.concatenate(columns)
    del rows, columns, key
    graph = coo_matrix((np.ones(len(row), np.int8), (row, column)), shape=(nodes, nodes))
    _, label = connected_components(graph, directed=False)
    _, member = np.unique(label[:count], return_inverse=True)
    return member.astype(np.int64)


def _keys(draft: Draft) -> Iterator[str]:
    yield _prompt_key(draft)
    for source in draft.sources:
        yield f"record\x1f{source.key}"
        if source.subject is not None:
            yield _subject_key(source)
        if source.conversation is not None:
            yield _conversation_key(source)


def _anchor(source: Source, draft: Draft) -> str:
    """What changes least: the user, then the conversation, then the prompt."""
    if source.subject is not None:
        return _subject_key(source)
    return _prompt_key(draft) if source.conversation is None else _conversation_key(source)


def _subject_key(source: Source) -> str:
    return f"subject\x1f{source.tenant}\x1f{source.subject}"


def _conversation_key(source: Source) -> str:
    return f"conversation\x1f{source.tenant}\x1f{source.conversation}"


def _prompt_key(draft: Draft) -> str:
    return f"prompt\x1f{normalized(draft.context.prompt)}"


class _Hashed(dict[str, int]):
    """Keys and their hashes: several drafts are of one prompt, one record and one user."""

    def __missing__(self, key: str) -> int:
        self[key] = found = int.from_bytes(sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        return found


def _position(anchor: int) -> float:
    return int.from_bytes(sha256(f"{_SALT}\x1f{anchor}".encode()).digest()[:8], "big") / 2**64
