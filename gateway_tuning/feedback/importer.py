"""A file of any export into the store: every row is imported, known already, or in quarantine with its reasons."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway_tuning.errors import IntegrityError
from gateway_tuning.feedback.expectations import Measures, check_measures, measure
from gateway_tuning.feedback.expressions import shown
from gateway_tuning.feedback.mapping import Mapping, Rejected, apply, canonical_json
from gateway_tuning.feedback.reading import BrokenRow, input_files, read_rows
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.shaping import short_reason
from gateway_tuning.feedback.store import Added, Batch, FeedbackStore, QuarantineEntry
from gateway_tuning.feedback.validation import MAX_TEXT_LENGTH, problems
from gateway_tuning.storage.object_store import file_sha256

Outcome = FeedbackRecord | QuarantineEntry
CHUNK_OUTCOMES = 500
CHUNK_CHARACTERS = 16 * 2**20  # whichever comes first: bounds memory when texts are megabytes


@dataclass(frozen=True, slots=True)
class ImportReport:
    """`records + broken = imported + replaced + duplicates + quarantined`, checked before it is given out."""

    batch_id: str
    read: int  # rows, broken ones among them
    broken: int  # rows that could not be read
    records: int  # after explode, rejected ones among them
    imported: int
    replaced: int
    duplicates: int
    quarantined: int
    newly_quarantined: int  # a row set aside before is quarantined, but not anew
    quarantined_by_reason: dict[str, int]  # by the first reason of each, so that it adds up to `quarantined`
    seconds: float
    expectations: dict[str, Any] | None  # None: not asked
    is_repeat: bool  # these bytes were imported by this mapping before

    @property
    def added_nothing(self) -> bool:
        return self.imported + self.replaced + self.newly_quarantined == 0


@dataclass(slots=True)
class _Tally:
    read: int = 0
    broken: int = 0
    records: int = 0
    added: Added = Added()  # noqa: RUF009 - frozen
    quarantined: int = 0
    newly_quarantined: int = 0


def import_file(
    path: Path,
    mapping: Mapping | None,
    store: FeedbackStore,
    *,
    tenant: str,
    now: datetime,
    expectations: bool = True,
    max_text_length: int = MAX_TEXT_LENGTH,
) -> ImportReport:
    """Safe to repeat and to kill: what is stored is stored once.

    Raises:
        InputFileError: the file as a whole cannot be read. Chunks before the fault may be stored; importing
            the mended file adds the rest.
        IntegrityError: the counts do not add up, which is a defect of this program.
        MissingExtraError: expectations are wanted and great-expectations is not installed.
    """
    started = time.perf_counter()
    id_ = batch_id(path, mapping, tenant)
    tally, reasons, measures = _Tally(), Counter[str](), list[Measures]()
    outcomes = _outcomes(path, mapping, tally, tenant=tenant, now=now, max_text_length=max_text_length)
    for chunk in _chunks(outcomes):
        records = [outcome for outcome in chunk if isinstance(outcome, FeedbackRecord)]
        entries = [outcome for outcome in chunk if isinstance(outcome, QuarantineEntry)]
        tally.newly_quarantined += store.add_quarantine(entries, now)
        tally.added += store.add(records, now)
        tally.quarantined += len(entries)
        reasons.update(short_reason(entry.reasons[0]) for entry in entries)
        if expectations:
            measures += map(measure, records)
    result = None
    if expectations:
        result = check_measures(measures, tally.quarantined, now=now, max_text_length=max_text_length)
    counts = _counts(tally, reasons, path)
    batch = Batch(id_, tenant, input_name(path), counts, result, now)
    return ImportReport(
        batch_id=id_,
        **counts,
        seconds=time.perf_counter() - started,
        expectations=result,
        is_repeat=not store.add_batch(batch),
    )


def batch_id(path: Path, mapping: Mapping | None, tenant: str) -> str:
    """Of the bytes, the mapping and the tenant; where the file lies does not matter."""
    files = [(name, file_sha256(file)) for name, file in input_files(path)]
    how = None if mapping is None else mapping.model_dump(mode="json")
    return hashlib.sha256(canonical_json([files, how, tenant]).encode()).hexdigest()


def input_name(path: Path) -> str:
    return path.name.encode("utf-8", "backslashreplace").decode()


def _outcomes(
    path: Path,
    mapping: Mapping | None,
    tally: _Tally,
    *,
    tenant: str,
    now: datetime,
    max_text_length: int,
) -> Iterator[Outcome]:
    for row in read_rows(path):
        tally.read += 1
        if isinstance(row, BrokenRow):
            tally.broken += 1
            raw = canonical_json(row.text)
            yield QuarantineEntry(tenant, "reading", row.source, row.position, (row.reason,), raw)
            continue
        found = apply(mapping, row.value)
        for number, outcome in enumerate(found, start=1):
            tally.records += 1
            judged = _judge(outcome, row.value, tenant=tenant, now=now, max_text_length=max_text_length)
            if isinstance(judged, FeedbackRecord):
                yield judged
                continue
            position = row.position if len(found) == 1 else f"{row.position}, element {number}"
            raw = canonical_json(judged.raw)
            yield QuarantineEntry(
                tenant, "validation", row.source, position, judged.reasons, raw, judged.feedback_id
            )


def _judge(
    outcome: FeedbackRecord | Rejected,
    row: dict[str, Any],
    *,
    tenant: str,
    now: datetime,
    max_text_length: int,
) -> FeedbackRecord | Rejected:
    """The record under the tenant of the import, or every reason against it."""
    if isinstance(outcome, Rejected):
        if outcome.sound is None:
            return outcome
        more = problems(outcome.sound, now=now, max_text_length=max_text_length, ignoring=outcome.unsound)
        return Rejected((*outcome.reasons, *more), outcome.raw, outcome.feedback_id)
    found = problems(outcome, now=now, max_text_length=max_text_length)
    if "tenant" in outcome.model_fields_set and outcome.tenant != tenant:
        found.append(
            f"Belongs to another tenant: {shown(outcome.tenant)}, this import is for {shown(tenant)}"
        )
    if found:
        return Rejected(tuple(found), row, outcome.id if outcome.id.isprintable() else None)
    return outcome.model_copy(update={"tenant": tenant})


def _chunks(
    outcomes: Iterable[Outcome],
) -> Iterator[list[Outcome]]:
    chunk: list[Outcome] = []
    characters = 0
    for outcome in outcomes:
        chunk.append(outcome)
        characters += _characters(outcome)
        if len(chunk) == CHUNK_OUTCOMES or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _characters(outcome: Outcome) -> int:
    if isinstance(outcome, QuarantineEntry):
        return len(outcome.raw or "")
    return len(outcome.prompt) + len(outcome.response) + sum(len(turn.content) for turn in outcome.history)


def _counts(tally: _Tally, reasons: Counter[str], path: Path) -> dict[str, Any]:
    added = asdict(tally.added)
    imported = added.pop("added")
    accounted = imported + sum(added.values()) + tally.quarantined
    if tally.records + tally.broken != accounted or reasons.total() != tally.quarantined:
        raise IntegrityError(
            f"Import of {path} does not add up: {tally.records} records and {tally.broken} broken rows, "
            f"but {accounted} outcomes; report this with the file"
        )
    return {
        "read": tally.read,
        "broken": tally.broken,
        "records": tally.records,
        "imported": imported,
        **added,
        "quarantined": tally.quarantined,
        "newly_quarantined": tally.newly_quarantined,
        "quarantined_by_reason": dict(sorted(reasons.items())),
    }
