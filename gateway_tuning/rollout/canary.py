"""The canary's state machine. Pure: the clock, the findings and the freshness of the data are arguments.

Traffic moves up only on complete, fresh and harmless findings and to a share that was approved; everything unknown
holds; every end takes the canary's share to zero.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from gateway_tuning.rollout.judge import Verdict
from gateway_tuning.rollout.looking import Failure, Freshness, Seen, look_closely
from gateway_tuning.rollout.policy import CanaryPolicy

__all__ = [  # what a look says is told where looks are taken, and used with it
    "PROMOTION", "Canary", "Decision", "Failure", "Freshness", "Kind", "Look", "Override", "State",
    "advance", "approved_up_to", "begin",
]  # fmt: skip

State = Literal["running", "promoted", "rolled_back", "inconclusive", "invalid", "superseded"]
Kind = Literal["advance", "hold", "error", "promote", "roll_back", "inconclusive", "invalid"]

PROMOTION = 1.0  # the share that stands for the end of the ramp
_END: dict[Kind, State] = {
    "promote": "promoted",
    "roll_back": "rolled_back",
    "inconclusive": "inconclusive",
    "invalid": "invalid",
}


@dataclass(frozen=True, slots=True)
class Canary:
    """One experiment: `candidate` against `control`, two versions of `model`, pinned for its whole life.

    `share` is the share of users on the canary now; zero before its first stage is approved and once it ended.
    `stage` indexes `policy.stages`. `approved_share` is the highest share that may be served, None where every one
    may. `config_hash` is of `configuration.py`. `ended_by` is None where a look ended it. `verified_at` is when every
    gateway said that it serves the end of it, `verification` what they said last.
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
    config_hash: str | None = None
    approved_share: float | None = None
    started_by: str | None = None
    ended_by: str | None = None
    verified_at: datetime | None = None
    verification: str | None = None

    @property
    def next_share(self) -> float:
        """What the next step up gives: the share of a stage, or `PROMOTION`. Of a running canary."""
        following = self.stage + 1 if self.share else self.stage
        return self.policy.stages[following] if following < len(self.policy.stages) else PROMOTION

    @property
    def unapproved_share(self) -> float | None:
        """The lowest share that somebody has still to approve, None where nobody must."""
        approved = self.approved_share
        if approved is None or approved >= PROMOTION:
            return None
        return min(share for share in (*self.policy.stages, PROMOTION) if share > approved)


@dataclass(frozen=True, slots=True)
class Override:
    """Two people want this step, to `share`, although a look would hold."""

    share: float
    by: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    """`asks` is a share for which nothing but a person's approval is missing.

    `unsound` is what makes the findings worth nothing, so that nobody may override them.
    """

    kind: Kind
    reasons: tuple[str, ...]
    unsound: tuple[str, ...] = ()
    asks: float | None = None
    overridden_by: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One look as stored. `stage` and `share` are those in force before its decision.

    `verdict` is `Verdict.as_json()`, or `{"failure": reason}` where the judge found nothing. `unsound` is what made the
    findings worth nothing; None where an earlier version did not tell.
    """

    canary_id: str
    look: int
    at: datetime
    stage: int
    share: float
    decision: str
    reasons: tuple[str, ...]
    verdict: dict[str, Any]
    unsound: tuple[str, ...] | None = None


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
    started_by: str | None = None,
) -> Canary:
    """Its first share is zero where the policy wants that approved."""
    approved = approved_up_to(policy, 0.0) if policy.approve_before else None
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
        share=policy.stages[0] if approved is None or policy.stages[0] <= approved else 0.0,
        approved_share=approved,
        started_by=started_by,
    )


def approved_up_to(policy: CanaryPolicy, share: float) -> float:
    """The highest share that may be served once `share` is approved: up to the next one that a policy names."""
    ahead = [named for named in policy.approve_before if named > share]
    if not ahead:
        return PROMOTION
    return max((stage for stage in policy.stages if stage < min(ahead)), default=0.0)


def advance(
    canary: Canary,
    findings: Verdict | Failure,
    freshness: Freshness,
    now: datetime,
    override: Override | None = None,
) -> tuple[Canary, Decision]:
    """One look. A canary that has ended is returned unchanged with a hold.

    An override is taken only for the very next step, and only where all that is missing is proof, time or approval.
    """
    if canary.state != "running":
        return canary, Decision("hold", (f"canary {canary.id} has ended: {canary.state}",))
    seen = look_closely(canary, findings, freshness, now)
    decision = _decide(canary, findings, seen, override)
    return _apply(canary, decision, now), decision


def _decide(canary: Canary, findings: Verdict | Failure, seen: Seen, override: Override | None) -> Decision:
    if seen.ends is not None:
        return Decision(*seen.ends)
    details = findings.reasons if isinstance(findings, Verdict) else ()
    step = canary.next_share
    unapproved = _unapproved(canary, step)
    if seen.overdue is not None and step != PROMOTION:
        missing = (*seen.unsound, *seen.unproven, *unapproved)
        return Decision("inconclusive", (seen.overdue, *missing, *details), seen.unsound)
    if not (seen.unsound or seen.unproven or unapproved):
        return Decision(_step(step), (_found(canary, step), *details))
    if override is not None and override.share == step and not seen.unsound:
        by = " and ".join(override.by)
        waived = (f"{by} overrode what was missing for {_named(step)}", *seen.unproven, *unapproved)
        return Decision(_step(step), (*waived, *details), overridden_by=override.by)
    missing = (*seen.unsound, *seen.unproven, *unapproved)
    if seen.overdue is not None:
        return Decision("inconclusive", (seen.overdue, *missing, *details), seen.unsound)
    kind: Kind = "error" if isinstance(findings, Failure) else "hold"
    asks = step if unapproved and not (seen.unsound or seen.unproven) else None
    return Decision(kind, (*missing, *details), seen.unsound, asks=asks)


def _step(share: float) -> Kind:
    return "promote" if share == PROMOTION else "advance"


def _found(canary: Canary, step: float) -> str:
    if step == PROMOTION:
        return "every metric is within its margin"
    return f"no harm found at a share of {canary.share:g}" if canary.share else f"{step:g} is approved"


def _unapproved(canary: Canary, step: float) -> tuple[str, ...]:
    if canary.approved_share is None or step <= canary.approved_share:
        return ()
    return (f"{_named(step)} awaits the approval of a person",)


def _named(share: float) -> str:
    return "the promotion" if share == PROMOTION else f"a share of {share:g}"


def _apply(canary: Canary, decision: Decision, now: datetime) -> Canary:
    last = max(now, canary.last_look_at) if canary.last_look_at is not None else now
    looked = replace(canary, looks=canary.looks + 1, last_look_at=last, reasons=decision.reasons)
    if decision.overridden_by is not None:
        approved = looked.approved_share
        looked = replace(
            looked,
            # Two people said what one could have approved.
            approved_share=None if approved is None else max(approved, canary.next_share),
            ended_by=" and ".join(decision.overridden_by) if decision.kind == "promote" else None,
        )
    if decision.kind in {"hold", "error"}:
        return looked
    if decision.kind == "advance":
        stage = canary.stage + 1 if canary.share else canary.stage
        return replace(looked, stage=stage, share=canary.next_share, stage_started_at=now)
    return replace(looked, state=_END[decision.kind], share=0.0, finished_at=now)
