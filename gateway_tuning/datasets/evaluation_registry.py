"""Registered evaluation sets: texts that no example may hold, kept as hashes under name@version and never changed."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from gateway_tuning.datasets.quality.evaluation_sets import EvaluationSet, decode, encode, evaluation_set
from gateway_tuning.datasets.quality.signatures import PERMUTATIONS
from gateway_tuning.errors import ConfigurationError, ConflictError, NotFoundError
from gateway_tuning.storage import layout
from gateway_tuning.storage.object_store import ObjectStore

_PIECE = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
_LABEL = re.compile(rf"{_PIECE}@{_PIECE}")
_REMEDY = "`gateway-tuning evaluation-sets add NAME VERSION FILE.jsonl` registers one"


def register(
    objects: ObjectStore,
    name: str,
    version: str,
    prompts: Sequence[str],
    references: Sequence[str] = (),
    *,
    permutations: int = PERMUTATIONS,
) -> EvaluationSet:
    """Register the set, or find that it is registered with the same texts.

    Raises:
        ConfigurationError: the name or version cannot be a key, or there is no text.
        ConflictError: the version is registered with other texts.
    """
    check_label(f"{name}@{version}")
    made = evaluation_set(name, version, prompts, references, permutations=permutations)
    key = layout.evaluation_set(made.label)
    try:
        objects.write_new(key, encode(made))
    except ConflictError:
        if not _equal(decode(objects.read(key)), made):  # another numpy may pack the same numbers otherwise
            raise ConflictError(
                f"Evaluation set {made.label} is registered with other texts, and a version never changes; "
                "register these under another version"
            ) from None
    return made


def listed(objects: ObjectStore) -> list[str]:
    """Labels in order of the alphabet."""
    folder = layout.evaluation_set("").rpartition("/")[0]
    names = (key.rpartition("/")[2].removesuffix(".npz") for key in objects.list_keys(folder))
    return sorted(name for name in names if _LABEL.fullmatch(name))


def load(objects: ObjectStore, label: str) -> EvaluationSet:
    """Raises ConfigurationError of a label that is none, NotFoundError of a set that is not registered."""
    check_label(label)
    try:
        data = objects.read(layout.evaluation_set(label))
    except NotFoundError:
        raise NotFoundError(_unknown(objects, [label])) from None
    return decode(data)


def remove(objects: ObjectStore, label: str) -> None:
    """Datasets that were built with it stay as they are. Raises as `load`."""
    check_label(label)
    if not objects.delete(layout.evaluation_set(label)):
        raise NotFoundError(_unknown(objects, [label]))


def require(objects: ObjectStore, labels: Iterable[str]) -> None:
    """Call before any work is done on a recipe. Raises ConfigurationError naming those that are not registered."""
    wanted = list(labels)
    for label in wanted:
        check_label(label)
    missing = [label for label in wanted if not objects.exists(layout.evaluation_set(label))]
    if missing:
        raise ConfigurationError(
            f"{_unknown(objects, missing)}, or leave it out of the recipe's evaluation_sets"
        )


def check_label(label: str) -> None:
    """Raises ConfigurationError of what could not be a key on every object storage."""
    if not _LABEL.fullmatch(label):
        raise ConfigurationError(
            f"{label!r} names no evaluation set; give name@version, each of 1 to 64 lower-case letters, digits, "
            "`.`, `_` and `-`, with a letter or digit at both ends"
        )


def _unknown(objects: ObjectStore, labels: Sequence[str]) -> str:
    there = ", ".join(listed(objects)) or "none"
    return f"No evaluation set {', '.join(labels)}; registered: {there}. {_REMEDY}"


def _equal(a: EvaluationSet, b: EvaluationSet) -> bool:
    pairs = (
        (a.signatures.exact, b.signatures.exact),
        (a.signatures.minima, b.signatures.minima),
        (a.ngrams, b.ngrams),
        (a.owners, b.owners),
        (a.totals, b.totals),
    )
    return a.label == b.label and all(np.array_equal(x, y) for x, y in pairs)
