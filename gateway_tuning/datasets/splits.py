"""Give every example a group and a split so that nothing leaks from test into training. Pure.

A group is a connected component over users, conversations, prompts (whitespace and case apart) and records. Its split
comes from a hash of its smallest user (conversation, prompt where nobody is named), so new data moves an old
example only when it joins two groups, and then only the examples of one of them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.selection import Draft

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
_SALT = "splits-1"
SubjectOf = Callable[[str | None], str | None]


def assign(
    drafts: Sequence[Draft], *, validation_share: float, test_share: float, subject_of: SubjectOf
) -> list[Example]:
    """Examples in the order of the drafts; the shares are shares of groups, met in expectation.

    `subject_of` hides a user behind the tenant's key; it is the only trace of users in an example.
    """
    components = _components(drafts)
    examples: list[Example | None] = [None] * len(drafts)
    for members, keys in components:
        split = _split_of(_anchor(keys), validation_share, test_share)
        # The group's public name comes from anonymized content: a hash of a user id could be guessed back.
        group_id = sha256(min(drafts[index].id for index in members).encode()).hexdigest()[:16]
        for index in members:
            examples[index] = _example(drafts[index], group_id, split, subject_of)
    return [example for example in examples if example is not None]


def shared_groups(examples: Sequence[Example]) -> set[str]:
    """Groups that stand in more than one split: empty, or the splits leak."""
    splits: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        splits[example.group_id].add(example.split)
    return {group for group, found in splits.items() if len(found) > 1}


def _components(drafts: Sequence[Draft]) -> Iterator[tuple[list[int], set[str]]]:
    parents: dict[str, str] = {}

    def find(key: str) -> str:
        root = key
        while parents[root] != root:
            root = parents[root]
        while parents[key] != root:
            parents[key], key = root, parents[key]
        return root

    draft_keys = [sorted(_keys(draft)) for draft in drafts]
    for keys in draft_keys:
        for key in keys:
            parents.setdefault(key, key)
            parents[find(key)] = find(keys[0])
    members: dict[str, list[int]] = defaultdict(list)
    joined: dict[str, set[str]] = defaultdict(set)
    for index, keys in enumerate(draft_keys):
        root = find(keys[0])
        members[root].append(index)
        joined[root].update(keys)
    for root, indexes in members.items():
        yield indexes, joined[root]


def _keys(draft: Draft) -> Iterator[str]:
    yield "3:" + " ".join(draft.messages[-1].content.casefold().split())
    for record in draft.sources:
        yield f"4:{record.tenant}\x1f{record.id}"
        if record.user_id is not None:
            yield f"1:{record.tenant}\x1f{record.user_id}"
        if record.conversation_id is not None:
            yield f"2:{record.tenant}\x1f{record.conversation_id}"


def _anchor(keys: set[str]) -> str:
    """The key whose hash decides: the kind that changes least (user, conversation, prompt), then the smallest."""
    return min(keys, key=lambda key: (key[0], sha256(key.encode()).digest()))


def _split_of(anchor: str, validation_share: float, test_share: float) -> str:
    position = int.from_bytes(sha256(f"{_SALT}\x1f{anchor}".encode()).digest()[:8], "big") / 2**64
    if position < test_share:
        return TEST
    return VALIDATION if position < test_share + validation_share else TRAIN


def _example(draft: Draft, group_id: str, split: str, subject_of: SubjectOf) -> Example:
    sources = sorted(draft.sources, key=lambda record: (record.tenant, record.id))
    subjects = {subject_of(record.user_id) for record in sources}
    return Example(
        id=draft.id,
        kind=draft.kind,
        messages=draft.messages,
        answer=draft.answer,
        rejected=draft.rejected,
        desirable=draft.desirable,
        feedback_ids=tuple(record.id for record in sources),
        feedback_types=tuple(sorted({record.type.value for record in sources})),
        last_feedback_at=draft.last_feedback_at,
        group_id=group_id,
        split=split,
        subject_ids=tuple(sorted(subject for subject in subjects if subject is not None)),
    )
