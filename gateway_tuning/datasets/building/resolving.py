"""Third stage: all that was said on the prompts of a bucket comes together, and what is fit to train is told apart.

What the next stage must know of all drafts at once is a few numbers each (`Traits`) and the signatures of their texts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.datasets import evaluation_registry
from gateway_tuning.datasets.building import arrays
from gateway_tuning.datasets.building.codec import ballot_of, draft_of, joined, pack, unpack
from gateway_tuning.datasets.building.plan import Plan
from gateway_tuning.datasets.building.workshop import Workshop
from gateway_tuning.datasets.draft import Draft
from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.quality import contamination
from gateway_tuning.datasets.quality.filters import Reason, filter_samples
from gateway_tuning.datasets.quality.sample import Sample, conversation, sample_of
from gateway_tuning.datasets.quality.shingles import Hashes, Indexes, hash64
from gateway_tuning.datasets.quality.signatures import Signatures, sign
from gateway_tuning.datasets.selection import select
from gateway_tuning.datasets.splits import GroupKeys
from gateway_tuning.datasets.statements import Ballot
from gateway_tuning.feedback.votes import Agreement, agreement
from gateway_tuning.storage import layout

KINDS = tuple(ExampleKind)
FILTERS, CONTAMINATION = "filters", "contamination"
Refused = tuple[str, Reason, str | None]  # stage, reason, by which evaluation set


@dataclass(frozen=True, slots=True)
class ResolveJob:
    """`reads` has, by block, where the bucket's statements stand in what the block left."""

    plan: Plan
    bucket: int
    reads: tuple[tuple[int, tuple[int, int]], ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """`ranges` in the bucket's object: kept drafts and rejected ones. `told` has, by block, what its records are told."""

    bucket: int
    kept: int
    ranges: tuple[tuple[int, int], ...]
    told: tuple[tuple[int, int], ...]
    agreement: Agreement
    rejected: dict[str, int]  # by code
    hits: tuple[contamination.Hit, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Traits:
    """Of drafts, a number each; texts by the `exact` hash of their signatures.

    `source_key` has the records behind draft `source_draft`, and `source_block` the block of each.
    """

    id_end: NDArray[np.uint32]  # what `GroupKeys.ids` lacks of the id
    kind: NDArray[np.int8]  # indexes KINDS
    label: NDArray[np.int8]  # 1 desirable, 0 not, -1 no label
    prompt: Hashes
    context: Hashes
    answer: Hashes
    rival: Hashes  # 0 where there is none
    corrected: NDArray[np.bool_]
    raters: Indexes
    newest: Indexes
    source_draft: Indexes
    source_key: Hashes
    source_block: Indexes


def resolve_bucket(workshop: Workshop, job: ResolveJob) -> Resolved:
    plan, recipe = job.plan, job.plan.recipe
    drafts: list[Draft] = []
    ballots: list[Ballot] = []
    block_of: dict[str, int] = {}
    for number, (start, end) in job.reads:
        said = unpack(workshop.objects.read_range(layout.build_file(plan.key, "read", number), start, end))
        own = [draft_of(row) for row in said["drafts"]], [ballot_of(row) for row in said["ballots"]]
        block_of |= {source.key: number for draft in own[0] for source in draft.sources}
        block_of |= {ballot.source.key: number for ballot in own[1]}
        drafts += own[0]
        ballots += own[1]
    selection = select(
        drafts,
        ballots,
        max_pairs_per_prompt=recipe.max_pairs_per_prompt,
        min_rating_gap=recipe.min_rating_gap,
    )
    samples = [sample_of(draft) for draft in selection.drafts]
    filtered = filter_samples(samples, recipe.quality, workshop.language_of)
    sets = [evaluation_registry.load(workshop.objects, name) for name in recipe.evaluation_sets]
    hits = contamination.hits(filtered.kept, sets, recipe.quality)
    refused: dict[str, Refused] = {sample.id: (FILTERS, reason, None) for sample, reason in filtered.rejected}
    refused |= {hit.example_id: (CONTAMINATION, hit.reason, hit.evaluation_set) for hit in hits}
    kept = [draft for draft in selection.drafts if draft.id not in refused]
    rejected = [(draft, refused[draft.id]) for draft in selection.drafts if draft.id in refused]
    rejections = {
        source.key: (why[1].code, why[1].text) for draft, why in rejected for source in draft.sources
    }
    data, ranges = joined(map(pack, (kept, rejected)))
    workshop.objects.write(layout.build_file(plan.key, "drafts", job.bucket), data)
    told = _by_block(plan, block_of, selection.lost, rejections)
    data, told_ranges = joined(map(pack, told))
    workshop.objects.write(layout.build_file(plan.key, "told", job.bucket), data)
    sound = {sample.id: sample for sample in filtered.kept}
    _write_arrays(workshop, job, kept, [sound[draft.id] for draft in kept], block_of)
    return Resolved(
        bucket=job.bucket,
        kept=len(kept),
        ranges=tuple(ranges),
        told=tuple(told_ranges),
        agreement=agreement(selection.verdicts),
        rejected=dict(Counter(reason.code for _, (_, reason, _) in rejected)),
        hits=hits,
    )


def _by_block(
    plan: Plan,
    block_of: Mapping[str, int],
    lost: Mapping[str, tuple[str, str]],
    rejected: Mapping[str, tuple[str, str]],
) -> list[dict[str, dict[str, tuple[str, str]]]]:
    told: list[dict[str, dict[str, tuple[str, str]]]] = [{"lost": {}, "rejected": {}} for _ in plan.blocks]
    for name, reasons in (("lost", lost), ("rejected", rejected)):
        for key, reason in reasons.items():
            told[block_of[key]][name][key] = reason
    return told


def traits(loaded: arrays.Arrays) -> Traits:
    return Traits(**{name[1:]: value for name, value in loaded.items() if name[0] == "t"})


def group_keys(loaded: arrays.Arrays) -> GroupKeys:
    return GroupKeys(**{name[1:]: value for name, value in loaded.items() if name[0] == "g"})


def _write_arrays(
    workshop: Workshop,
    job: ResolveJob,
    kept: Sequence[Draft],
    samples: Sequence[Sample],
    block_of: Mapping[str, int],
) -> None:
    prompts = [sample.prompt for sample in samples]
    contexts = [conversation(draft.context.messages) for draft in kept]
    answers = [sample.answer for sample in samples]
    rivals = [sample.rejected for sample in samples]
    texts = _Signed.of([*prompts, *contexts, *answers, *(text for text in rivals if text is not None)])
    asked, others = (
        texts.hashes(prompts),
        (texts.hashes(contexts), texts.hashes(answers), texts.hashes(rivals)),
    )
    sources = [(index, source.key) for index, draft in enumerate(kept) for source in draft.sources]
    found = Traits(
        id_end=np.array([int(draft.id[16:], 16) for draft in kept], np.uint32),
        kind=np.array([KINDS.index(draft.kind) for draft in kept], np.int8),
        label=np.array([-1 if draft.desirable is None else int(draft.desirable) for draft in kept], np.int8),
        prompt=asked,
        context=others[0],
        answer=others[1],
        rival=others[2],
        corrected=np.array([sample.rating.corrected for sample in samples], bool),
        raters=np.array([sample.rating.raters for sample in samples], np.int64),
        newest=np.array([int(sample.rating.newest.timestamp() * 1e6) for sample in samples], np.int64),
        source_draft=np.array([index for index, _ in sources], np.int64),
        source_key=np.array([hash64(key) for _, key in sources], np.uint64),
        source_block=np.array([block_of[key] for _, key in sources], np.int64),
    )
    table = {f"t{name}": getattr(found, name) for name in Traits.__slots__}
    keys = GroupKeys.of(kept)
    table |= {f"g{name}": getattr(keys, name) for name in GroupKeys.__slots__}
    workshop.objects.write(layout.build_file(job.plan.key, "traits", job.bucket), arrays.encode(table))
    signed = texts.arrays("asked", asked) | texts.arrays("said", np.concatenate(others))
    workshop.objects.write(layout.build_file(job.plan.key, "signatures", job.bucket), arrays.encode(signed))


@dataclass(frozen=True, slots=True)
class _Signed:
    """Each different text once."""

    exact: dict[str, int]
    signatures: Signatures

    @staticmethod
    def of(texts: Iterable[str]) -> "_Signed":
        different = list(dict.fromkeys(texts))
        signatures = sign(different)
        return _Signed(dict(zip(different, signatures.exact.tolist(), strict=True)), signatures)

    def hashes(self, texts: Iterable[str | None]) -> Hashes:
        return np.array([0 if text is None else self.exact[text] for text in texts], np.uint64)

    def arrays(self, name: str, hashes: Hashes) -> arrays.Arrays:
        """Of the texts of these hashes; 0 stands for no text."""
        exact, first = np.unique(self.signatures.exact, return_index=True)
        wanted = np.unique(hashes[hashes != 0])
        rows = first[np.searchsorted(exact, wanted)]
        return {f"{name}_exact": wanted, f"{name}_minima": self.signatures.minima[rows]}
