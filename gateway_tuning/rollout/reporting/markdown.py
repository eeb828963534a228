"""A look at a canary as Markdown, for Prefect's artifact. Pure."""

from collections.abc import Sequence
from datetime import datetime

from gateway_tuning.rollout.canary import Canary, Look
from gateway_tuning.rollout.reporting.steps import Step
from gateway_tuning.rollout.reporting.words import (
    Seen,
    at,
    between,
    finding,
    harm,
    label,
    lasted,
    level,
    limit,
    metrics_of,
    percent,
    to_do,
)


def render_markdown(canary: Canary, look: Look, steps: Sequence[Step], *, now: datetime) -> str:
    """What was decided and why, every metric, the share over time, and what a person can do."""
    running = canary.state == "running"
    lines = [
        f"# Canary `{canary.id}`: {(look.decision if running else canary.state).replace('_', ' ')}",
        "",
        f"Look {look.look} was at {percent(look.share)} of users: {look.decision.replace('_', ' ')}.",
        "",
        *(f"- {_plain(reason)}" for reason in canary.reasons),
    ]
    simulated = look.verdict.get("simulated_requests", 0)
    if simulated:
        lines += ["", f"{simulated:,} of the requests are of **simulated** users."]
    seen = metrics_of(look)
    if seen:
        lines += [
            "",
            "| metric | canary | control | harm | interval | margin | finding |",
            "|---|---:|---:|---:|---:|---:|---|",
            *map(_metric, seen),
        ]
    lines += ["", "| share of users | from (UTC) | for | looks | left by |", "|---:|---|---|---:|---|"]
    lines += [_step(step, now) for step in steps]
    lines += ["", *(f"- {said}" for said in _commands(canary, look))]
    return "\n".join([*lines, ""])


def begun_markdown(canary: Canary) -> str:
    """Of a canary that has begun: who is compared, on how many users, and where it is going."""
    shares = ", then ".join(percent(share) for share in canary.policy.stages)
    waits = "" if canary.share else ", once somebody approves the first of them"
    return "\n".join(
        [
            f"# Canary `{canary.id}` has begun",
            "",
            f"`{canary.candidate}` against `{canary.control}`, on {shares} of the users of {canary.model}{waits}.",
            "",
            f"- Share now: {percent(canary.share)}",
            f"- Watched: {', '.join(label(name) for name in canary.policy.metrics_to_monitor)}",
            "- Looks are taken by advance-canaries: `gateway-tuning canary page " + canary.id + "`",
        ]
    )


def _commands(canary: Canary, look: Look) -> list[str]:
    page = ("show every metric over time as a page", f"gateway-tuning canary page {canary.id}")
    return [f"{what}: `{command}`" for what, command in (*to_do(canary, look), page)]


def _metric(seen: Seen) -> str:
    cells = (
        label(seen.name),
        level(seen.name, seen.canary),
        level(seen.name, seen.control),
        harm(seen.name, seen.harm),
        between(seen.name, seen.low, seen.high),
        limit(seen.name, seen.margin),
        finding(seen.status)[0],
    )
    return f"| {' | '.join(cells)} |"


def _step(step: Step, now: datetime) -> str:
    left = (step.left or "it goes on").replace("_", " ")
    cells = (
        percent(step.share),
        at(step.since),
        lasted(step.since, step.until or now),
        str(step.looks),
        left,
    )
    return f"| {' | '.join(cells)} |"


def _plain(reason: str) -> str:
    """A person's comment may stand in it: it must not become markup of the page."""
    return (
        " ".join(reason.split())
        .replace("\\", "\\\\")
        .translate({ord(char): f"\\{char}" for char in "`*[]<>|"})
    )
