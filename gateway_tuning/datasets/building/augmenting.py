"""Stage between arranging and writing: variants of what the train split of a bucket holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from gateway_tuning.datasets import parquet
from gateway_tuning.datasets.augmentation.augment import augment
from gateway_tuning.datasets.augmentation.catalog import augmenters
from gateway_tuning.datasets.augmentation.clean import clean_by
from gateway_tuning.datasets.augmentation.held_out import HeldOut
from gateway_tuning.datasets.building import arrays
from gateway_tuning.datasets.building.arranging import KEPT
from gateway_tuning.datasets.building.plan import Plan
from gateway_tuning.datasets.building.resolving import Resolved
from gateway_tuning.datasets.building.workshop import Workshop
from gateway_tuning.datasets.building.writing import placed
from gateway_tuning.datasets.quality.signatures import Signatures
from gateway_tuning.storage import layout


@dataclass(frozen=True, slots=True)
class AugmentJob:
    plan: Plan
    resolved: Resolved


@dataclass(frozen=True, slots=True)
class AugmentedBucket:
    kinds: dict[str, int]
    ids: tuple[str, ...]
    wanted: int
    dropped: dict[str, int]


def augment_bucket(workshop: Workshop, job: AugmentJob) -> AugmentedBucket:
    """Leaves the new examples beside the bucket."""
    plan, policy = job.plan, job.plan.recipe.augmentation
    held = arrays.decode(workshop.objects.read(layout.build_file(plan.key, "held", 0)))
    anonymizer = None

    def is_clean(texts: Sequence[str]) -> Sequence[bool]:
        nonlocal anonymizer
        anonymizer = anonymizer or workshop.anonymizer(plan.tenant, plan.recipe.anonymization)
        return clean_by(anonymizer)(texts)

    found = augment(
        [one for one, verdict, _ in placed(workshop, plan, job.resolved) if verdict == KEPT],
        policy,
        augmenters(policy, workshop.language_of),
        held_out=HeldOut(Signatures(held["exact"], held["minima"])),
        known=held["known"],
        is_clean=is_clean,
    )
    name = layout.build_file(plan.key, "augmented", job.resolved.bucket)
    workshop.objects.write(name, parquet.encode(found.examples))
    return AugmentedBucket(
        kinds=dict(Counter(one.kind.value for one in found.examples)),
        ids=tuple(one.id for one in found.examples),
        wanted=found.wanted,
        dropped=found.dropped,
    )


def digest(arranged: str, buckets: Sequence[AugmentedBucket]) -> str:
    """Of a dataset, with what was added to it; without additions, that of the arranged drafts."""
    ids = sorted(id_ for one in buckets for id_ in one.ids)
    return sha256("\x1f".join([arranged, *ids]).encode()).hexdigest() if ids else arranged
