"""Second stage: what is trusted in a block is anonymized and taken apart. Only anonymized text leaves it.

Undeclared reformulations are looked for within a block: a pair across the border of two blocks is not seen.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway_tuning.anonymization.anonymizer import AnonymizationFailure, Anonymizer, DroppedRecord
from gateway_tuning.anonymization.masking import AnonymizedRecord
from gateway_tuning.anonymization.vault import entries_of
from gateway_tuning.anonymization.vault_entry import VaultEntry
from gateway_tuning.datasets.building.assessing import CODE, Cap
from gateway_tuning.datasets.building.codec import joined, pack
from gateway_tuning.datasets.building.plan import Plan, bucket_of
from gateway_tuning.datasets.building.workshop import Workshop
from gateway_tuning.datasets.draft import Draft
from gateway_tuning.datasets.record_texts import texts, with_texts
from gateway_tuning.datasets.reformulations import Mined, mine
from gateway_tuning.datasets.statements import Ballot, read, read_mined
from gateway_tuning.feedback.blocks import Block, read_block
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.reviews import REJECTED_IN_REVIEW
from gateway_tuning.feedback.trust import BURST
from gateway_tuning.feedback.writing import SubjectOf
from gateway_tuning.storage import layout

NOT_ANONYMIZED, DROPPED = "anonymization_failed", "dropped_by_policy"
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class ReadJob:
    plan: Plan
    block: Block
    bursts: dict[str, str]  # id -> reason
    rejected: frozenset[str]
    cap: Cap


@dataclass(frozen=True, slots=True)
class Read:
    """`ranges` are those of the buckets in the object, and of the records' fates behind them.

    `tried` records were given to the anonymizer.
    """

    number: int
    ranges: tuple[tuple[int, int], ...]
    entities: dict[str, int]
    mined: int
    tried: int
    failures: tuple[tuple[str, str], ...]  # id and reason


@dataclass(slots=True)
class _Kept:
    """For the vault."""

    subject_of: SubjectOf
    entries: list[VaultEntry] = field(default_factory=list)

    def add(self, record: FeedbackRecord, clean: AnonymizedRecord, anonymizer: Anonymizer) -> None:
        subject = self.subject_of(record.user_id)
        self.entries += entries_of(
            texts(record), clean, anonymizer.policy, subject=subject, said_at=record.timestamp
        )


@dataclass(slots=True)
class _Bucket:
    drafts: list[Draft] = field(default_factory=list)
    ballots: list[Ballot] = field(default_factory=list)


def read_and_anonymize(workshop: Workshop, job: ReadJob) -> Read:
    """Writes statements by bucket, and for each record its id, subject, code and reason so far.

    Where there is a vault, what the pseudonyms stand for is in it before any of them is written here.
    """
    plan = job.plan
    subject_of = workshop.feedback.subject_of(plan.tenant, now=plan.now)
    rows: list[tuple[str, str | None, str, str | None]] = []
    trusted: list[FeedbackRecord] = []
    for record in read_block(workshop.feedback.engine, plan.which, job.block):
        if record.id in job.rejected:
            rows.append(
                (record.id, subject_of(record.user_id), REJECTED_IN_REVIEW, "rejected in review by a person")
            )
        elif record.id in job.bursts:
            rows.append((record.id, subject_of(record.user_id), BURST, job.bursts[record.id]))
        elif job.cap.refuses(record):
            rows.append((record.id, subject_of(record.user_id), CODE, job.cap.reason))
        else:
            trusted.append(record)
    buckets = [_Bucket() for _ in range(plan.buckets)]
    anonymizer = workshop.anonymizer(plan.tenant, plan.recipe.anonymization)
    entities: Counter[str] = Counter()
    failures = []
    kept = _Kept(subject_of) if workshop.vault and plan.recipe.anonymization.needs_pseudonyms() else None
    for record, clean in _anonymized(anonymizer, trusted, entities, kept):
        if isinstance(clean, FeedbackRecord):
            said = read(clean, subject_of)
            rows.append((record.id, said.source.subject, said.code, None))
            _route(buckets, said.drafts, said.ballot)
        elif isinstance(clean, DroppedRecord):
            rows.append((record.id, subject_of(record.user_id), DROPPED, clean.reason))
        else:
            failures.append((record.id, clean.reason))
            rows.append(
                (record.id, subject_of(record.user_id), NOT_ANONYMIZED, f"not anonymized: {clean.reason}")
            )
    mined = mine(trusted, plan.recipe.mining)
    for pair, clean in _anonymized_pairs(anonymizer, mined, kept):
        _route(buckets, read_mined(pair, clean, subject_of), None)
    if kept is not None and workshop.vault is not None:
        workshop.vault(plan.tenant).write(kept.entries)
    data, ranges = joined([*map(pack, buckets), pack(rows)])
    workshop.objects.write(layout.build_file(plan.key, "read", job.block.number), data)
    return Read(job.block.number, tuple(ranges), dict(entities), len(mined), len(trusted), tuple(failures))


def _route(buckets: Sequence[_Bucket], drafts: Sequence[Draft], ballot: Ballot | None) -> None:
    for draft in drafts:
        buckets[bucket_of(draft.context, len(buckets))].drafts.append(draft)
    if ballot is not None:
        buckets[bucket_of(ballot.context, len(buckets))].ballots.append(ballot)


def _anonymized(
    anonymizer: Anonymizer, records: Sequence[FeedbackRecord], entities: Counter[str], kept: _Kept | None
) -> Iterator[tuple[FeedbackRecord, FeedbackRecord | AnonymizationFailure | DroppedRecord]]:
    for start in range(0, len(records), _CHUNK):
        chunk = records[start : start + _CHUNK]
        found = anonymizer.anonymize([texts(record) for record in chunk])
        for record, result in zip(chunk, found, strict=True):
            if isinstance(result, AnonymizationFailure | DroppedRecord):
                yield record, result
                continue
            entities.update(result.entities)
            if kept is not None:
                kept.add(record, result, anonymizer)
            yield record, with_texts(record, result.fields)


def _anonymized_pairs(
    anonymizer: Anonymizer, mined: Sequence[Mined], kept: _Kept | None
) -> Iterator[tuple[Mined, FeedbackRecord]]:
    """A pair that cannot be anonymized as one is no loss: both of its records are told for themselves."""
    records = [pair.record for pair in mined]
    found = _anonymized(anonymizer, records, Counter(), kept)
    for pair, (_, clean) in zip(mined, found, strict=True):
        if isinstance(clean, FeedbackRecord):
            yield pair, clean
