"""A canary's share over time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway_tuning.rollout.canary import Canary

_ENDS = frozenset({"promote", "roll_back", "inconclusive", "invalid"})


@dataclass(frozen=True, slots=True)
class Glance:
    """A look without its findings; `share` is the one in force before it."""

    look: int
    at: datetime
    share: float
    decision: str


@dataclass(frozen=True, slots=True)
class Step:
    """So long this share of users was on the canary. `until` is None for the one that goes on; `left` is what ended it.

    `looks` counts those taken while it lasted, the one that ended it among them.
    """

    share: float
    since: datetime
    until: datetime | None
    looks: int
    left: str | None


def steps(canary: Canary, glances: Sequence[Glance]) -> tuple[Step, ...]:
    """Oldest first. `glances` are all of its looks in their order."""
    found: list[Step] = []
    share = glances[0].share if glances else _first_share(canary)
    since, looks = canary.started_at, 0
    for before, glance in zip((None, *glances), glances, strict=False):
        if before is not None and glance.share != share:
            found.append(Step(share, since, before.at, looks, before.decision))
            share, since, looks = glance.share, before.at, 0
        looks += 1
    last = glances[-1] if glances else None
    if canary.state == "running":
        if last is not None and canary.share != share:
            found.append(Step(share, since, last.at, looks, last.decision))
            share, since, looks = canary.share, last.at, 0
        return (*found, Step(share, since, None, looks, None))
    # Two people may have turned an inconclusive end into a promotion later: the share ended with the look.
    ended = last.at if last is not None and last.decision in _ENDS else canary.finished_at
    return (*found, Step(share, since, ended, looks, canary.state))


def _first_share(canary: Canary) -> float:
    first, approved = canary.policy.stages[0], canary.approved_share
    return first if approved is None or first <= approved else 0.0
