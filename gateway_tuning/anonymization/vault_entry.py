"""What a vault keeps of a pseudonym. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class VaultEntry:
    """`subject` is whose record it stood in, as a subject id, and `said_at` when: by these an erasure finds it."""

    pseudonym: str
    entity: str
    original: str
    subject: str | None = None
    said_at: datetime | None = None


def to_row(entry: VaultEntry) -> list[str | None]:
    said_at = None if entry.said_at is None else entry.said_at.isoformat()
    return [entry.pseudonym, entry.entity, entry.original, entry.subject, said_at]


def of_row(row: list[Any]) -> VaultEntry:
    pseudonym, entity, original, subject, said_at = row
    at = None if said_at is None else datetime.fromisoformat(said_at)
    return VaultEntry(pseudonym, entity, original, subject, at)


def was_erased(entry: VaultEntry, erased: Mapping[str, datetime]) -> bool:
    """Whether a person in `erased` said it up to the time given there. What has no time may be that old."""
    if entry.subject is None or entry.subject not in erased:
        return False
    return entry.said_at is None or entry.said_at <= erased[entry.subject]


def earliest(entries: Iterable[VaultEntry]) -> list[VaultEntry]:
    """Each value of a subject once, at the first time that it was said."""
    found: dict[tuple[str, str, str, str | None], VaultEntry] = {}
    for entry in entries:
        name = (entry.pseudonym, entry.entity, entry.original, entry.subject)
        known = found.setdefault(name, entry)
        if known.said_at is not None and (entry.said_at is None or entry.said_at < known.said_at):
            found[name] = entry
    return list(found.values())
