"""What one look at a canary shows: whether it ends, and what is missing for its next step. Pure.

What is missing comes in two kinds. Unsound is what makes the findings worth nothing: nobody may act on them. Unproven
is what they do not show yet: two people may go on without it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from gateway_tuning.rollout.judge import Verdict, metrics

if TYPE_CHECKING:
    from gateway_tuning.rollout.canary import Canary

# Every look is another chance of it: with 10, 2 % of unchanged canaries with little traffic fell silent at night.
SILENT_USERS = 20
_DECIDABLE = frozenset({"non_inferior", "undecided"})


@dataclass(frozen=True, slots=True)
class Freshness:
    """Times of the last outcomes, None where there was none.

    `control_users_since` counts control users seen after the canary's last outcome.
    """

    canary: datetime | None
    control: datetime | None
    control_users_since: int


@dataclass(frozen=True, slots=True)
class Failure:
    """There are no findings. `voids` says that the comparison itself is gone, not just this look."""

    reason: str
    voids: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """`ends` is an end that nothing holds up. `overdue` says which time has run out; None while there is some left."""

    ends: tuple[Literal["roll_back", "invalid"], tuple[str, ...]] | None
    unsound: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    overdue: str | None = None


def look_closely(canary: "Canary", findings: Verdict | Failure, freshness: Freshness, now: datetime) -> Seen:
    ends = _ends(canary, findings, freshness, now)
    if ends is not None:
        return Seen(ends)
    return Seen(
        None,
        unsound=_unsound(canary, findings, freshness, now),
        unproven=_unproven(canary, findings, now),
        overdue=_overdue(canary, now),
    )


def _ends(
    canary: "Canary", findings: Verdict | Failure, freshness: Freshness, now: datetime
) -> tuple[Literal["roll_back", "invalid"], tuple[str, ...]] | None:
    policy = canary.policy
    if isinstance(findings, Failure):
        if findings.voids:
            return "invalid", (findings.reason,)
    else:
        harmed = [result.name for result in findings.results if result.status == "harmed"]
        if harmed:
            names = ", ".join(harmed).replace("_", " ")
            return "roll_back", (f"the canary is worse in {names}", *findings.reasons)
    if _silent(canary, freshness.canary, now) and freshness.control_users_since >= SILENT_USERS:
        silent = (
            f"no outcome of the canary for {policy.stale_seconds:g} s while "
            f"{freshness.control_users_since} users of the control were answered"
        )
        return "roll_back", (silent,)
    if isinstance(findings, Verdict) and not findings.balanced:
        return "invalid", findings.reasons
    if canary.started_at - now > timedelta(seconds=policy.max_seconds):
        begun = canary.started_at.isoformat()
        return "invalid", (f"it began at {begun}, far in the future: the clock was wrong then, or is now",)
    return None


def _unsound(
    canary: "Canary", findings: Verdict | Failure, freshness: Freshness, now: datetime
) -> tuple[str, ...]:
    reasons: list[str] = []
    if isinstance(findings, Failure):
        reasons.append(findings.reason)
    elif canary.share:
        reasons.extend(_unplanned(canary, findings))
    last = canary.last_look_at
    if last is not None and now < last:
        reasons.append(f"the clock went back: the last look was at {last.isoformat()}")
    if canary.share:  # before the first stage is approved there is nothing to see
        for arm, seen in (("canary", freshness.canary), ("control", freshness.control)):
            if _silent(canary, seen, now):
                reasons.append(f"no outcome of the {arm} for {canary.policy.stale_seconds:g} s")
            elif seen is None or seen < canary.stage_started_at:
                reasons.append(f"no outcome of the {arm} since the stage began")
    return tuple(reasons)


def _unplanned(canary: "Canary", findings: Verdict) -> list[str]:
    """The plan is the policy's: a metric that it does not know says nothing, and one that is left out is not good."""
    planned = {metric.name for metric in metrics(canary.policy)}
    found = {result.name for result in findings.results}
    reasons = [f"the judge said nothing of {name}" for name in sorted(planned - found)]
    return reasons + [f"{name} is no metric of the policy" for name in sorted(found - planned)]


def _unproven(canary: "Canary", findings: Verdict | Failure, now: datetime) -> tuple[str, ...]:
    if not canary.share:
        return ()
    policy = canary.policy
    reasons: list[str] = []
    if isinstance(findings, Verdict):
        reasons.extend(
            f"{result.status.replace('_', ' ')} for {result.name.replace('_', ' ')}"
            for result in findings.results
            if result.status not in _DECIDABLE
        )
        users = min(findings.canary_users, findings.control_users)
        if users < policy.min_users:
            reasons.append(f"{users} users in the smaller arm, {policy.min_users} are needed")
        last_stage = canary.stage == len(policy.stages) - 1
        if last_stage and any(result.status != "non_inferior" for result in findings.results):
            reasons.append("the last stage needs every metric within its margin")
        reasons.extend(findings.holds)
        if last_stage:
            reasons.extend(findings.against_promotion)
    if now - canary.stage_started_at < timedelta(seconds=policy.stage_seconds):
        reasons.append(f"the stage lasts at least {policy.stage_seconds:g} s")
    return tuple(reasons)


def _overdue(canary: "Canary", now: datetime) -> str | None:
    policy = canary.policy
    back = f"all users go back to {canary.control}"
    if now - canary.started_at > timedelta(seconds=policy.max_seconds):
        return f"undecided after {policy.max_seconds:g} s; {back}"
    longest = policy.stage_max_seconds
    if longest is not None and now - canary.stage_started_at > timedelta(seconds=longest):
        return f"a stage of {canary.share:g} undecided after {longest:g} s; {back}"
    return None


def _silent(canary: "Canary", last: datetime | None, now: datetime) -> bool:
    # Before its first outcome an arm has been silent since users were sent to it.
    begun = canary.started_at if canary.stage else canary.stage_started_at
    return now - (max(last, begun) if last is not None else begun) > timedelta(
        seconds=canary.policy.stale_seconds
    )
