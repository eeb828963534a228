"""Who is augmented how often and by whom: the factor is a cap, the shares are met to within one variant. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway_tuning.datasets.augmentation.policy import AugmentationPolicy
from gateway_tuning.datasets.augmentation.protocol import Augmenter
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.quality.shingles import hash64
from gateway_tuning.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Wish:
    example: Example
    augmenter: Augmenter
    count: int


def share_out(
    originals: Sequence[Example], policy: AugmentationPolicy, augmenters: Sequence[Augmenter]
) -> list[Wish]:
    """Nobody gets one variant more before everybody has as many; who does, and by whom, a hash decides.

    Raises:
        ConfigurationError: an augmenter that the policy names is not among those given.
    """
    by_name = {one.name: one for one in augmenters}
    missing = [one.name for one in policy.augmenters if one.name not in by_name]
    if missing:
        raise ConfigurationError(
            f"Augmenter {missing[0]} is in the policy and was not opened; open all it names"
        )
    if not policy.is_on or not originals:
        return []
    cap = int(policy.factor * len(originals))
    rounds = -(-cap // len(originals))
    slots = [
        (turn, hash64(f"{policy.seed}\x1f{one.id}\x1f{turn}"), one)
        for turn in range(rounds)
        for one in originals
    ]
    slots = sorted(slots, key=lambda slot: (slot[0], slot[1], slot[2].id))[:cap]
    slots.sort(key=lambda slot: (slot[1], slot[2].id))
    ends = np.rint(np.cumsum([one.share for one in policy.augmenters]) * cap).astype(int).tolist()
    wishes = []
    for start, end, share in zip([0, *ends], ends, policy.augmenters, strict=False):
        chosen = [one for _, _, one in slots[start:end]]
        counts = Counter(one.id for one in chosen)
        wishes += [
            Wish(one, by_name[share.name], counts[one.id]) for one in {one.id: one for one in chosen}.values()
        ]
    return sorted(wishes, key=lambda wish: (wish.example.id, wish.augmenter.name))
