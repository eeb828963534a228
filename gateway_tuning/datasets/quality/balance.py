"""Desirable and undesirable labelled answers within a ratio. Pure.

KTO (Ethayarajh et al. 2024) wants (desirable weight x count) : (undesirable weight x count) between 1:1 and 4:3, in the
words of TRL's trainer, and reaches that by weights without throwing anything away. What is cut here is what weights
would have to blow up: the excess of the larger class over `max_label_ratio` times the smaller one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from gateway_tuning.datasets.quality.filters import Reason
from gateway_tuning.datasets.quality.policy import QualityPolicy

OVER_RATIO = "label_over_ratio"
_SALT = b"balance-1"


@dataclass(frozen=True, slots=True)
class Balanced:
    """Counts before and after; `rejected` are ids, ascending. `ratio` after, larger to smaller: None where a class is absent."""

    before: dict[bool, int]
    after: dict[bool, int]
    rejected: tuple[tuple[str, Reason], ...]

    @property
    def ratio(self) -> float | None:
        smaller, larger = sorted(self.after.values())
        return larger / smaller if smaller else None


def balance(labels: Iterable[tuple[str, bool]], policy: QualityPolicy) -> Balanced:
    """Cut the larger class to the policy's ratio, never below its floor; which ones is decided by a hash of their ids.

    The same ones stay whatever the order, and nearly all of them as data grows in the same ratio. Where one class is
    absent there is nothing to balance by, and nothing is cut.

    Args:
        labels: id and `desirable` of each labelled answer, ids distinct.
        policy: `max_label_ratio` and `min_label_count`.
    """
    by_label: dict[bool, list[str]] = {True: [], False: []}
    for id_, desirable in labels:
        by_label[desirable].append(id_)
    before = {label: len(ids) for label, ids in by_label.items()}
    larger = max(before, key=lambda label: before[label])
    smaller = before[not larger]
    limit = max(int(policy.max_label_ratio * smaller), policy.min_label_count) if smaller else before[larger]
    excess = sorted(by_label[larger], key=_position)[limit:]
    name = "desirable" if larger else "undesirable"
    reason = Reason(
        OVER_RATIO,
        f"{before[larger]} {name} answers to {smaller} others; the ratio allows {limit}",
    )
    return Balanced(
        before=before,
        after={larger: before[larger] - len(excess), not larger: smaller},
        rejected=tuple((id_, reason) for id_ in sorted(excess)),
    )


def _position(id_: str) -> tuple[bytes, str]:
    return blake2b(id_.encode(), key=_SALT, digest_size=8).digest(), id_
