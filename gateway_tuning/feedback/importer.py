"""A file of any export into the store: every row is imported, known already, or in quarantine with its reasons."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway_tuning.errors import ConfigurationError, IntegrityError
from gateway_tuning.feedback.expectations import Measures, check_measures, measure
from gateway_tuning.feedback.expressions import shown
from gateway_tuning.feedback.importers import catalog
from gateway_tuning.feedback.importers.protocol import ImportedRow, SetAside
from gateway_tuning.feedback.importers.scales import Scales
from gateway_tuning.feedback.mapping import Mapping, Rejected, apply, canonical_json
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.reading import BrokenRow, input_files, read_rows
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.shaping import short_reason
from gateway_tuning.feedback.store import Added, Batch, FeedbackStore
from gateway_tuning.feedback.validation import MAX_TEXT_LENGTH, problems
from gateway_tuning.storage.object_store import file_sha256

Outcome = FeedbackRecord | QuarantineEntry
NO_SCALES = Scales()
MAX_ID_LENGTH = 200  # as FeedbackRecord.id
CHUNK_OUTCOMES = 500
CHUNK_CHARACTERS = 16 * 2**20  # whichever comes first: bounds memory when texts are megabytes


@dataclass(frozen=True, slots=True)
class ImportReport:
    """`records + broken = imported + replaced + duplicates + erased + quarantined`, checked before it is given out."""

    batch_id: str
    read: int  # rows, broken ones among them
    broken: int  # rows that could not be read
    records: int  # after explode, rejected ones among them
    imported: int
    replaced: int
    duplicates: int
    erased: int  # of people who were erased after saying it; not stored
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
    source: str | None = None,
    scales: Scales = NO_SCALES,
    expectations: bool = True,
    max_text_length: int = MAX_TEXT_LENGTH,
    on_rows: Callable[[int], None] = lambda _read: None,
) -> ImportReport:
    """Safe to repeat and to kill: what is stored is stored once.

    `source` is the tool that wrote the export, one of `importers.catalog.names()`; `scales` say what its scores mean.
    `on_rows` is told how many rows were read by now.

    Raises:
        ConfigurationError: no importer has that name, or a mapping is given as well.
        InputFileError: the file as a whole cannot be read. Chunks before the fault may be stored; importing
            the mended file adds the rest.
        IntegrityError: the counts do not add up, which is a defect of this program.
        MissingExtraError: expectations are wanted and great-expectations is not installed.
    """
    started = time.perf_counter()
    id_ = batch_id(path, mapping, tenant, source=source, scales=scales)
    tally, reasons, measures = _Tally(), Counter[str](), list[Measures]()
    rows = _rows(path, mapping, source, scales)
    outcomes = _outcomes(rows, mapping, tally, tenant=tenant, now=now, max_text_length=max_text_length)
    for chunk in _chunks(outcomes):
        records = [outcome for outcome in chunk if isinstance(outcome, FeedbackRecord)]
        entries = [outcome for outcome in chunk if isinstance(outcome, QuarantineEntry)]
        tally.newly_quarantined += store.add_quarantine(entries, now)
        tally.added += store.add(records, now)
        tally.quarantined += len(entries)
        reasons.update(short_reason(entry.reasons[0]) for entry in entries)
        on_rows(tally.read)
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


def batch_id(
    path: Path,
    mapping: Mapping | None,
    tenant: str,
    *,
    source: str | None = None,
    scales: Scales = NO_SCALES,
) -> str:
    """Of the bytes, the mapping or importer and the tenant; where the file lies does not matter."""
    files = [(name, file_sha256(file)) for name, file in input_files(path)]
    how = None if mapping is None else mapping.model_dump(mode="json")
    tool = [] if source is None else [source, scales.model_dump(mode="json")]
    return hashlib.sha256(canonical_json([files, how, tenant, *tool]).encode()).hexdigest()


def input_name(path: Path) -> str:
    return path.name.encode("utf-8", "backslashreplace").decode()


def _rows(path: Path, mapping: Mapping | None, source: str | None, scales: Scales) -> Iterator[ImportedRow]:
    if source is None:
        return read_rows(path)
    if mapping is not None:
        raise ConfigurationError(f"The importer {source} maps its rows itself; leave out the mapping")
    return catalog.importer(source)(path, scales)


def _outcomes(
    rows: Iterable[ImportedRow],
    mapping: Mapping | None,
    tally: _Tally,
    *,
    tenant: str,
    now: datetime,
    max_text_length: int,
) -> Iterator[Outcome]:
    for row in rows:
        tally.read += 1
        if isinstance(row, BrokenRow):
            tally.broken += 1
            raw = canonical_json(row.text)
            yield QuarantineEntry(tenant, "reading", row.source, row.position, (row.reason,), raw)
        elif isinstance(row, SetAside):
            tally.records += 1
            yield QuarantineEntry(
                tenant, "validation", row.source, row.position, (row.reason,), canonical_json(row.raw),
                _known_id(row.feedback_id), row.user_id,
            )  # fmt: skip
        else:
            found = apply(mapping, row.value)
            for number, outcome in enumerate(found, start=1):
                tally.records += 1
                judged = _judge(outcome, row.value, tenant=tenant, now=now, max_text_length=max_text_length)
                position = row.position if len(found) == 1 else f"{row.position}, element {number}"
                yield (
                    judged
                    if isinstance(judged, FeedbackRecord)
                    else _set_aside(judged, tenant, row.source, position)
                )


def _set_aside(judged: Rejected, tenant: str, source: str, position: str) -> QuarantineEntry:
    user = judged.raw.get("user_id") if judged.sound is None else judged.sound.user_id
    return QuarantineEntry(
        tenant, "validation", source, position, judged.reasons, canonical_json(judged.raw), judged.feedback_id,
        user if isinstance(user, str) else None,
    )  # fmt: skip


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
        return Rejected((*outcome.reasons, *more), outcome.raw, outcome.feedback_id, outcome.sound)
    found = problems(outcome, now=now, max_text_length=max_text_length)
    if "tenant" in outcome.model_fields_set and outcome.tenant != tenant:
        found.append(
            f"Belongs to another tenant: {shown(outcome.tenant)}, this import is for {shown(tenant)}"
        )
    if found:
        return Rejected(tuple(found), row, _known_id(outcome.id), outcome)
    return outcome.model_copy(update={"tenant": tenant})


def _known_id(id_: str | None) -> str | None:
    """An id that a receipt can be asked for; of others the raw row is all there is."""
    return id_ if id_ is not None and id_.isprintable() and len(id_) <= MAX_ID_LENGTH else None


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
