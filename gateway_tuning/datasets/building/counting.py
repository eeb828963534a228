"""What the manifest counts, put together from all stages. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from gateway_tuning.datasets.building.arranging import Arranged
from gateway_tuning.datasets.building.augmenting import AugmentedBucket
from gateway_tuning.datasets.building.plan import Plan
from gateway_tuning.datasets.building.reading import Read
from gateway_tuning.datasets.building.resolving import Resolved
from gateway_tuning.datasets.building.writing import Tally
from gateway_tuning.datasets.manifest import Contamination, Counts, RatersAgreement
from gateway_tuning.datasets.quality.contamination import SetReport
from gateway_tuning.datasets.splits import TRAIN
from gateway_tuning.feedback.votes import Agreement, joined


def count(  # noqa: PLR0917 - every stage has a say
    plan: Plan,
    reads: Sequence[Read],
    resolved: Sequence[Resolved],
    arranged: Arranged,
    tallies: Sequence[Tally],
    augmented: Sequence[AugmentedBucket],
    contamination: Sequence[SetReport],
) -> Counts:
    """Of the whole dataset, from what every stage says of its part."""
    entities: Counter[str] = Counter()
    left_out = Counter(
        {"outside_recipe": plan.records - plan.wanted, "over_max_records": plan.wanted - plan.taken}
    )
    rejected = Counter(arranged.rejected)
    for read in reads:
        entities.update(read.entities)
    for tally in tallies:
        left_out.update(tally.left_out)
    for bucket in resolved:
        rejected.update(bucket.rejected)
    train, dropped = Counter(arranged.examples[TRAIN]), Counter[str]()
    for added in augmented:
        train.update(added.kinds)
        dropped.update(added.dropped)
    return Counts(
        records=plan.records,
        used=sum(tally.used for tally in tallies),
        left_out={reason: count for reason, count in sorted(left_out.items()) if count},
        examples=arranged.examples | {TRAIN: dict(sorted(train.items()))},
        entities=dict(sorted(entities.items())),
        groups=arranged.groups,
        shared_groups=arranged.leakage.shared_groups,
        agreement=_summary(joined(one.agreement for one in resolved)),
        rejected=dict(sorted(rejected.items())),
        mined=sum(read.mined for read in reads),
        augmented=sum(len(one.ids) for one in augmented),
        augmentation_dropped=dict(sorted(dropped.items())),
        contamination=tuple(Contamination(**asdict(one)) for one in contamination),
    )


def _summary(agreement: Agreement) -> RatersAgreement:
    """Rounded, so that the dataset's id does not hang on a last bit."""
    raters = agreement.by_rater.values()
    return RatersAgreement(
        answers=len(agreement.by_answer),
        share=None if agreement.share is None else round(agreement.share, 4),
        alpha=None if agreement.alpha is None else round(agreement.alpha, 4),
        raters=len(raters),
        mostly_alone=sum(2 * rater.agreed < rater.compared for rater in raters),
    )
