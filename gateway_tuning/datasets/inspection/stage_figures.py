"""What the expectations look at after each stage of a build: figures and flags as columns, never a text.

Where rows grow with the data they are a sample, spread evenly over blocks or buckets; the others are exact.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from gateway_tuning.datasets.building import arrays
from gateway_tuning.datasets.building.arranging import KEPT
from gateway_tuning.datasets.building.codec import unpack
from gateway_tuning.datasets.building.evidence import Examples, Statements
from gateway_tuning.datasets.building.resolving import Resolved
from gateway_tuning.datasets.splits import SPLITS
from gateway_tuning.storage import layout
from gateway_tuning.storage.object_store import ObjectStore

SAMPLE_ROWS = 5_000
SAMPLE_OBJECTS = 20  # blocks or buckets that a sample is taken from

WHOLE = "build"  # the frame of one row
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*_[0-9a-z]{1,16}>", re.ASCII)
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


@dataclass(frozen=True, slots=True)
class Frame:
    """`of` is the number of rows that the sample stands for, None where it is unknown; equal to `rows`: no sample."""

    columns: Mapping[str, Sequence[Any]]
    rows: int
    of: int | None


Frames = dict[str, Frame]


def frame(columns: Mapping[str, Sequence[Any]]) -> Frame:
    """Of all there is."""
    rows = len(next(iter(columns.values())))
    return Frame(columns, rows, rows)


def row(figures: Mapping[str, Any]) -> Frame:
    return frame({name: [value] for name, value in figures.items()})


def of_statements(evidence: Statements, objects: ObjectStore) -> Frames:
    """Of the build, of each block of records, and of a sample of what records say."""
    reads = evidence.reads
    tried = sum(read.tried for read in reads)
    failed = sum(len(read.failures) for read in reads)
    entities = sum(sum(read.entities.values()) for read in reads)
    chosen = _spread(reads)
    each = -(-SAMPLE_ROWS // max(1, len(chosen)))
    samples = [list(islice(_said(objects, evidence, read.number, read.ranges[:-1]), each)) for read in chosen]
    sample = [figures for part in samples for figures in part]
    whole = len(chosen) == len(reads) and all(len(part) < each for part in samples)
    return {
        WHOLE: row(
            {
                "tried": tried,
                "failed": failed,
                "failed_share": _share(failed, tried),
                "entities_per_record": _share(entities, tried - failed),
            }
        ),
        "blocks": frame(
            {
                "block": [read.number for read in reads],
                "failed_share": [_share(len(read.failures), read.tried) for read in reads],
                "entities_per_record": [
                    _share(sum(read.entities.values()), read.tried - len(read.failures)) for read in reads
                ],
            }
        ),
        "statements": Frame(
            {
                "characters": [one[0] for one in sample],
                "masked_share": [_share(one[1], one[0]) for one in sample],
                "addresses": [one[2] for one in sample],
            },
            len(sample),
            len(sample) if whole else None,
        ),
    }


def of_examples(evidence: Examples, objects: ObjectStore) -> Frames:
    """Of the build, and of a sample of the examples that are kept."""
    arranged, resolved = evidence.arranged, evidence.resolved
    counts = {split: sum(arranged.examples[split].values()) for split in SPLITS}
    kept = sum(counts.values())
    rejected = sum(arranged.rejected.values()) + sum(sum(one.rejected.values()) for one in resolved)
    desirable, labelled = _labels(evidence, objects)
    chosen = _spread([one for one in resolved if one.kept])
    each = -(-SAMPLE_ROWS // max(1, len(chosen)))
    sample = [figures for one in chosen for figures in islice(_kept(objects, evidence, one), each)]
    leakage = arranged.leakage
    return {
        WHOLE: row(
            {
                **counts,
                **{f"{split}_share": _share(count, kept) for split, count in counts.items()},
                "shared_groups": leakage.shared_groups,
                # Pairs below the floor are not looked for: the highest similarity is then at most that.
                "highest_similarity": leakage.floor
                if leakage.highest_similarity is None
                else leakage.highest_similarity,
                "rejected_share": _share(rejected, kept + rejected),
                "rarer_label_share": _share(min(desirable, labelled - desirable), labelled),
            }
        ),
        "examples": Frame(
            {
                "prompt_length": [one[0] for one in sample],
                "answer_length": [one[1] for one in sample],
                "sources": [one[2] for one in sample],
                "prompt_equals_answer": [one[3] for one in sample],
            },
            len(sample),
            kept,
        ),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _spread(found: Sequence[Any]) -> list[Any]:
    """At most `SAMPLE_OBJECTS`, evenly spaced: the same at each run."""
    places = np.linspace(0, len(found) - 1, min(len(found), SAMPLE_OBJECTS)).round().astype(int)
    return [found[place] for place in dict.fromkeys(places.tolist())]


def _said(
    objects: ObjectStore, evidence: Statements, number: int, ranges: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int, int]]:
    """Characters, those of them in placeholders, and e-mail addresses, of each statement of a block."""
    key = layout.build_file(evidence.plan.key, "read", number)
    for start, end in ranges:
        said = unpack(objects.read_range(key, start, end))
        for one in (*said["drafts"], *said["ballots"]):
            texts = [turn["content"] for turn in one["context"]["messages"]]
            texts += [one["answer"], one.get("rejected") or ""]
            yield (
                sum(map(len, texts)),
                sum(len(match[0]) for text in texts for match in _PLACEHOLDER.finditer(text)),
                sum(len(_ADDRESS.findall(text)) for text in texts),
            )


def _kept(objects: ObjectStore, evidence: Examples, one: Resolved) -> Iterator[tuple[int, int, int, bool]]:
    """Length of prompt and answer, sources, and whether the answer says the prompt again, of the kept drafts."""
    key = evidence.plan.key
    verdict = arrays.decode(objects.read(layout.build_file(key, "places", one.bucket)))["verdict"]
    rows = unpack(objects.read_range(layout.build_file(key, "drafts", one.bucket), *one.ranges[0]))
    for place in np.flatnonzero(verdict == KEPT).tolist():
        draft = rows[place]
        turns = draft["context"]["messages"]
        prompt = next(turn["content"] for turn in reversed(turns) if turn["role"] == "user")
        yield len(prompt), len(draft["answer"]), len(draft["sources"]), prompt == draft["answer"]


def _labels(evidence: Examples, objects: ObjectStore) -> tuple[int, int]:
    """Desirable ones among the labelled answers that are kept, and all of these; a bucket at a time."""
    desirable = labelled = 0
    for one in evidence.resolved:
        key = evidence.plan.key
        verdict = arrays.decode(objects.read(layout.build_file(key, "places", one.bucket)))["verdict"]
        label = arrays.decode(objects.read(layout.build_file(key, "traits", one.bucket)))["tlabel"]
        desirable += int(((verdict == KEPT) & (label == 1)).sum())
        labelled += int(((verdict == KEPT) & (label >= 0)).sum())
    return desirable, labelled
