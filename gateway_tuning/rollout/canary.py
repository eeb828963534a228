"""The canary's state machine. Pure: the clock, the findings and the freshness of the data are arguments.

Traffic moves up only on complete, fresh and harmless findings; everything unknown holds; every end takes the
canary's share to zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from gateway_tuning.rollout.judge import MetricResult, Verdict
from gateway_tuning.rollout.policy import CanaryPolicy

State = Literal["running", "promoted", "rolled_back", "inconclusive", "invalid"]
Kind = Literal["advance", "hold", "promote", "roll_back", "inconclusive", "invalid"]

# As many control users without one on the canary happen by chance less often than once in a thousand.
SILENT_USERS = 10
_END: dict[Kind, State] = {
    "promote": "promoted",
    "roll_back": "rolled_back",
    "inconclusive": "inconclusive",
    "invalid": "invalid",
}


@dataclass(frozen=True, slots=True)
class Canary:
    """One experiment: `candidate` against `control`, two versions of `model`, pinned for its whole life.

    `share` is the share of users on the canary now, zero once it ended. `stage` indexes `policy.stages`.
    """

    id: str
    tenant: str
    model: str
    candidate: str
    control: str
    policy: CanaryPolicy
    salt: str
    started_at: datetime
    stage_started_at: datetime
    state: State = "running"
    stage: int = 0
    share: float = 0.0
    looks: int = 0
    last_look_at: datetime | None = None
    finished_at: datetime | None = None
    reasons: tuple[str, ...] = ()


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
class Decision:
    kind: Kind
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """One look as stored. `stage` and `share` are those in force before its decision.

    `verdict` is `Verdict.as_json()`, or `{"failure": reason}` where the judge found nothing.
    """

    canary_id: str
    look: int
    at: datetime
    stage: int
    share: float
    decision: str
    reasons: tuple[str, ...]
    verdict: dict[str, Any]


def begin(
    canary_id: str,
    *,
    tenant: str,
    model: str,
    candidate: str,
    control: str,
    policy: CanaryPolicy,
    salt: str,
    now: datetime,
) -> Canary:
    return Canary(
        id=canary_id,
        tenant=tenant,
        model=model,
        candidate=candidate,
        control=control,
        policy=policy,
        salt=salt,
        started_at=now,
        stage_started_at=now,
        share=policy.stages[0],
    )


def advance(
    canary: Canary, findings: Verdict | Failure, freshness: Freshness, now: datetime
) -> tuple[Canary, Decision]:
    """One look. A canary that has ended is returned unchanged with a hold."""
    if canary.state != "running":
        return canary, Decision("hold", (f"canary {canary.id} has ended: {canary.state}",))
    decision = _decide(canary, findings, freshness, now)
    return _apply(canary, decision, now), decision


def _decide(canary: Canary, findings: Verdict | Failure, freshness: Freshness, now: datetime) -> Decision:
    abort = _abort(canary, findings, freshness, now)
    if abort is not None:
        return abort
    missing = _missing(canary, findings, freshness, now)
    if not missing and isinstance(findings, Verdict) and _is_last(canary) and _is_proven(findings):
        return Decision("promote", ("every metric is within its margin", *findings.reasons))
    details = findings.reasons if isinstance(findings, Verdict) else ()
    if now - canary.started_at > timedelta(seconds=canary.policy.max_seconds):
        spent = f"undecided after {canary.policy.max_seconds:g} s; all users go back to {canary.control}"
        return Decision("inconclusive", (spent, *missing, *details))
    if missing:
        return Decision("hold", (*missing, *details))
    if _is_last(canary):
        return Decision("hold", ("the last stage needs every metric within its margin", *details))
    return Decision("advance", (f"no harm found at a share of {canary.share:g}", *details))


def _abort(
    canary: Canary, findings: Verdict | Failure, freshness: Freshness, now: datetime
) -> Decision | None:
    if isinstance(findings, Failure):
        if findings.voids:
            return Decision("invalid", (findings.reason,))
    else:
        harmed = [result.name for result in findings.results if result.status == "harmed"]
        if harmed:
            names = ", ".join(harmed).replace("_", " ")
            return Decision("roll_back", (f"the canary is worse in {names}", *findings.reasons))
    if _silence(canary, freshness, now) and freshness.control_users_since >= SILENT_USERS:
        silent = (
            f"no outcome of the canary for {canary.policy.stale_seconds:g} s while "
            f"{freshness.control_users_since} users of the control were answered"
        )
        return Decision("roll_back", (silent,))
    if isinstance(findings, Verdict) and not findings.balanced:
        return Decision("invalid", findings.reasons)
    return None


def _missing(
    canary: Canary, findings: Verdict | Failure, freshness: Freshness, now: datetime
) -> tuple[str, ...]:
    """Why nothing but an abort may be decided now; empty when everything is there."""
    policy = canary.policy
    reasons: list[str] = []
    if isinstance(findings, Failure):
        reasons.append(findings.reason)
    else:
        reasons.extend(_missing_users(findings, policy))
    if _silence(canary, freshness, now):
        reasons.append(f"no outcome of the canary for {policy.stale_seconds:g} s")
    if canary.last_look_at is not None and now < canary.last_look_at:
        reasons.append(f"the clock went back: the last look was at {canary.last_look_at.isoformat()}")
    if now - canary.stage_started_at < timedelta(seconds=policy.stage_seconds):
        reasons.append(f"the stage lasts at least {policy.stage_seconds:g} s")
    return tuple(reasons)


def _missing_users(findings: Verdict, policy: CanaryPolicy) -> Sequence[str]:
    without_data = [result.name for result in findings.results if result.status == "no_data"]
    reasons = [f"no data for {name}" for name in without_data]
    if not findings.results:
        reasons.append("the judge compared nothing")
    users = min(findings.canary_users, findings.control_users)
    if users < policy.min_users:
        reasons.append(f"{users} users in the smaller arm, {policy.min_users} are needed")
    return reasons


def _silence(canary: Canary, freshness: Freshness, now: datetime) -> bool:
    # Before its first outcome the canary has been silent since it started.
    last = max(freshness.canary, canary.started_at) if freshness.canary is not None else canary.started_at
    return now - last > timedelta(seconds=canary.policy.stale_seconds)


def _is_last(canary: Canary) -> bool:
    return canary.stage == len(canary.policy.stages) - 1


def _is_proven(findings: Verdict) -> bool:
    return bool(findings.results) and all(_is_non_inferior(result) for result in findings.results)


def _is_non_inferior(result: MetricResult) -> bool:
    return result.status == "non_inferior"


def _apply(canary: Canary, decision: Decision, now: datetime) -> Canary:
    last = max(now, canary.last_look_at) if canary.last_look_at is not None else now
    looked = replace(canary, looks=canary.looks + 1, last_look_at=last, reasons=decision.reasons)
    if decision.kind == "hold":
        return looked
    if decision.kind == "advance":
        stage = canary.stage + 1
        return replace(looked, stage=stage, share=canary.policy.stages[stage], stage_started_at=now)
    return replace(looked, state=_END[decision.kind], share=0.0, finished_at=now)
