"""A canary in words and figures as people read them. Pure; what is not known is said."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from gateway_tuning.evaluation.reporting.figures import UNKNOWN, signed
from gateway_tuning.rollout.canary import PROMOTION, Canary, Look

Tone = Literal["", "good", "bad"]

_NAMES = {
    "error_rate": "Errors",
    "latency": "Latency",
    "user_feedback": "User feedback",
    "token_count": "Tokens of an answer",
    "relevance": "Relevance",
    "feedback_rate": "How often users rate",
}
_MEANT = {
    "error_rate": "Share of requests that failed.",
    "latency": "Geometric mean of the time to the whole answer; a failed request counts as a long one.",
    "user_feedback": "Share of ratings that are positive.",
    "token_count": "Geometric mean of the tokens of an answer.",
    "relevance": "Mean relevance of the answers that were scored, from 0 to 1.",
    "feedback_rate": "Share of answers that users rate: ratings compare only while the same users give them.",
}
_POINTS = frozenset({"error_rate", "user_feedback"})
_FINDINGS: dict[str, tuple[str, Tone]] = {
    "harmed": ("worse", "bad"),
    "differs": ("not comparable", "bad"),
    "non_inferior": ("not worse", "good"),
    "undecided": ("undecided", ""),
    "no_data": ("no data", ""),
}
_AWAITS = "awaits the approval of a person"  # ends a reason of the state machine
_MOST = 99.0  # a hundred times as much: a larger ratio is no figure that anybody reads


@dataclass(frozen=True, slots=True)
class Seen:
    """One metric at one look, from the stored verdict; figures that an older judge did not write are None."""

    name: str
    role: str
    status: str
    margin: float
    canary_users: int
    control_users: int
    canary: float | None
    control: float | None
    harm: float | None
    low: float | None
    high: float | None
    lacking: str | None
    tail: Mapping[str, Any] | None


def metrics_of(look: Look) -> list[Seen]:
    return [
        Seen(
            name=result["name"],
            role=result["role"],
            status=result["status"],
            margin=result["margin"],
            canary_users=result["canary_users"],
            control_users=result["control_users"],
            canary=result.get("canary"),
            control=result.get("control"),
            harm=result.get("harm"),
            low=result.get("low"),
            high=result.get("high"),
            lacking=result.get("lacking"),
            tail=result.get("tail"),
        )
        for result in look.verdict.get("results", ())
    ]


def label(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " ").capitalize())


def meaning(name: str) -> str:
    return _MEANT.get(name, "")


def finding(status: str) -> tuple[str, Tone]:
    return _FINDINGS.get(status, (status.replace("_", " "), ""))


def percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def level(name: str, value: float | None) -> str:
    """An arm's own value."""
    if value is None:
        return UNKNOWN
    if name in _POINTS or name == "feedback_rate":
        return f"{100 * value:.2f} %"
    if name == "latency":
        return f"{value:,.0f} ms"
    return f"{value:,.1f}" if name == "token_count" else f"{value:.3f}"


def harm(name: str, value: float | None) -> str:
    """A difference of the arms, positive where the canary is worse; of a mean logarithm as the ratio less one."""
    if value is None:
        return UNKNOWN
    if name in _POINTS:
        return f"{signed(100 * value, 2)} points"
    if name == "relevance":
        return signed(value)
    if value > math.log1p(_MOST):  # the first looks' bands may reach anywhere
        return f"over +{100 * _MOST:,.0f} %"
    return f"{signed(100 * math.expm1(value), 1)} %"


def between(name: str, low: float | None, high: float | None) -> str:
    """Both ends of a sequence, the unit once."""
    if low is None or high is None:
        return UNKNOWN
    first, second = harm(name, low), harm(name, high)
    return f"{first.removesuffix(' %').removesuffix(' points')} to {second}"


def limit(name: str, value: float) -> str:
    """A margin, without a sign."""
    return harm(name, value).lstrip("+")


def told(seen: Seen) -> str:
    """What the sequence says of a metric, in a sentence."""
    if seen.harm is None or seen.low is None or seen.high is None:
        return f"No data yet{f': {seen.lacking}' if seen.lacking else ''}."
    band, margin = between(seen.name, seen.low, seen.high), limit(seen.name, seen.margin)
    arms = f"{level(seen.name, seen.canary)} on the canary, {level(seen.name, seen.control)} on the control. "
    if seen.role == "integrity":
        return f"{arms}The difference lies in {band}; {margin} in either direction is accepted."
    said = f"The harm lies in {band}; up to {margin} is accepted."
    if seen.status == "harmed" and seen.tail and seen.tail.get("low", 0.0) > 0.0:
        said += (
            f" Slow requests, which few of the control's are: {percent(seen.tail['canary'])} on the canary, "
            f"{percent(seen.tail['control'])} on the control."
        )
    lacking = f" Before it may pass: {seen.lacking}." if seen.lacking else ""
    return f"{arms}{said}{lacking}"


def named(share: float) -> str:
    return "the promotion" if share == PROMOTION else f"a share of {percent(share)}"


def headline(canary: Canary) -> tuple[str, Tone]:
    if canary.state == "running":
        if not canary.share:
            return f"Not begun: nobody is on the candidate before {named(canary.next_share)} is approved", ""
        return f"Running: {percent(canary.share)} of users are on the candidate", ""
    back = f"all users are on {canary.control}"
    sentences: dict[str, tuple[str, Tone]] = {
        "promoted": (f"Promoted: {canary.candidate} became stable", "good"),
        "rolled_back": (f"Rolled back: {back}", "bad"),
        "inconclusive": (
            f"Inconclusive: nothing was shown against the candidate, nor enough for it; {back}",
            "",
        ),
        "invalid": (f"Invalid: the comparison says nothing; {back}", ""),
        "superseded": ("Superseded by another canary of this model", ""),
    }
    return sentences[canary.state]


def why(canary: Canary, last: Look | None) -> list[str]:
    """What it ended for, or what its last look found missing, without the figures of each metric."""
    details = set() if last is None else set(last.verdict.get("reasons", ()))
    return [reason for reason in canary.reasons if reason not in details]


def missing(canary: Canary, last: Look | None) -> list[str]:
    """What the next step still needs, as the last look found it; empty for a canary that has ended."""
    if canary.state != "running":
        return []
    if last is None:
        return ["its first look"]
    if last.decision not in {"hold", "error"}:
        return [f"a look at the share of {percent(canary.share)}"]
    waits = canary.unapproved_share == canary.next_share
    found = [reason for reason in why(canary, last) if waits or not reason.endswith(_AWAITS)]
    return found or ["its next look"]


def to_do(canary: Canary, last: Look | None) -> list[tuple[str, str]]:
    """What a person can do now, and by which command."""
    command = f"gateway-tuning canary {{}} {canary.id}"
    if canary.state == "inconclusive" and last is not None and last.unsound == ():
        told = "promote it all the same, if another person wants it too and neither started it"
        return [(told, command.format("override"))]
    if canary.state != "running":
        return []
    waits = canary.unapproved_share
    found = []
    if waits is not None:
        found.append((f"approve {named(waits)}", f"{command.format('approve')} --share {waits:g}"))
        found.append(("end it instead", command.format("reject")))
    return [*found, ("take all users back at once", f"{command.format('abort')} --reason ...")]


def approved(canary: Canary) -> str:
    if canary.approved_share is None:
        return "every share; the policy asks nobody"
    if canary.approved_share >= PROMOTION:
        return "every share"
    return f"up to {percent(canary.approved_share)}" if canary.approved_share else "none yet"


def verified(canary: Canary) -> str:
    if canary.state == "running":
        return "it runs"
    if canary.verified_at is not None:
        return f"{at(canary.verified_at)}: {canary.verification}"
    return f"not verified: {canary.verification or 'no gateway was asked yet'}"


def at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def lasted(since: datetime, until: datetime) -> str:
    minutes = max(int((until - since) / timedelta(minutes=1)), 0)
    days, hours, left = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{amount} {unit}" for amount, unit in ((days, "d"), (hours, "h"), (left, "min")) if amount]
    return " ".join(parts[:2]) or "under 1 min"
