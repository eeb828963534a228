"""Of examples that say the same, the best-rated stays. Pure.

Two examples are duplicates when they are of one kind, have one label, and their prompts, answers and rejected answers lie
in the same clusters each. Another answer to the same prompt is no duplicate, nor is a preference the other way round.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.quality.filters import Reason
from gateway_tuning.datasets.quality.sample import Rating

NEAR_DUPLICATE = "near_duplicate_of"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An example as far as removal needs it; clusters are those of `near_duplicates.clusters`."""

    id: str
    kind: ExampleKind
    prompt: int
    answer: int
    rejected: int | None
    desirable: bool | None
    rating: Rating


@dataclass(frozen=True, slots=True)
class Duplicate:
    id: str
    kept: str

    @property
    def reason(self) -> Reason:
        return Reason(NEAR_DUPLICATE, f"{NEAR_DUPLICATE} {self.kept}")


def best_rated(candidate: Candidate) -> Rating:
    """Corrected by a human, then liked by more raters, then newest."""
    return candidate.rating


def duplicates(
    candidates: Iterable[Candidate], *, rank: Callable[[Candidate], Any] = best_rated
) -> tuple[Duplicate, ...]:
    """Those to leave out, ordered by id, each with the one that stays: of the highest rank, then the smallest id.

    `rank` gives anything that can be ordered.
    """
    best: dict[tuple[object, ...], tuple[Any, str]] = {}
    groups: list[tuple[str, tuple[object, ...]]] = []
    for one in candidates:
        group = (one.kind, one.desirable, one.prompt, one.answer, one.rejected)
        groups.append((one.id, group))
        mine = rank(one)
        if group not in best or (other := best[group])[0] < mine or (other[0] == mine and one.id < other[1]):
            best[group] = (mine, one.id)
    left_out = (Duplicate(id_, best[group][1]) for id_, group in groups if best[group][1] != id_)
    return tuple(sorted(left_out, key=lambda duplicate: duplicate.id))
