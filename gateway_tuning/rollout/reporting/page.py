"""A canary as one HTML page: no scripts, nothing to load."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway_tuning.evaluation.reporting.style import evaluation_css
from gateway_tuning.rollout.canary import Look
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.reporting import words
from gateway_tuning.rollout.reporting.charts import Frame, sequence_svg, share_svg
from gateway_tuning.rollout.reporting.spending import Spent, total
from gateway_tuning.rollout.reporting.story import Story

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class _Part:
    """One metric: its state in words, and its picture, empty where there never was a figure."""

    title: str
    meaning: str
    finding: str
    tone: str
    told: str
    users: str
    plot: Markup


@dataclass(frozen=True, slots=True)
class _Event:
    at: datetime
    what: str
    by: str | None
    why: str


def render_html(story: Story) -> str:
    """The whole page, with the policy that `content_policy` states."""
    canary, last = story.canary, _last(story)
    verdict = {} if last is None else last.verdict
    sentence, tone = words.headline(canary)
    return (
        _environment()
        .get_template("canary.html.j2")
        .render(
            **_values(story),
            css=_css(),
            policy=content_policy(),
            sentence=sentence,
            tone=tone,
            facts=facts(story),
            reasons=() if canary.state == "running" else words.why(canary, last),
            missing=words.missing(canary, last),
            following=words.named(canary.next_share) if canary.state == "running" else None,
            to_do=words.to_do(canary, last),
            simulated=verdict.get("simulated_requests", 0),
        )
    )


def render_parts(story: Story) -> Markup:
    """From the share over time to the policy, to stand in a page that has this one's style and a headline."""
    parts = _environment().get_template("canary_parts.html.j2").render(**_values(story))
    return Markup(parts)  # noqa: S704 - of a template that escapes


def _values(story: Story) -> dict[str, Any]:
    """What the parts show."""
    canary, last = story.canary, _last(story)
    verdict = {} if last is None else last.verdict
    shown = _frame(story)
    return {
        "canary": canary,
        "failure": verdict.get("failure"),
        "share": share_svg(story.steps, approved=canary.approved_share, frame=shown),
        "steps": story.steps,
        "parts": _parts(story, shown),
        "drawn": len(story.looks),
        "looks": story.looks_in_all,
        "last": last,
        "rows": [] if last is None else words.metrics_of(last),
        "score": verdict.get("score"),
        "events": _events(story),
        "spent": story.spent,
        "total": None if not story.spent else total(story.spent),
        "unpriced": _unpriced(story.spent or ()),
        "settings": _settings(canary.policy),
        "told_at": story.told_at,
        "words": words,
    }


@cache
def content_policy() -> str:
    """What the page may do: show itself. No script, no request, no other style."""
    digest = base64.b64encode(hashlib.sha256(str(_css()).encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _css() -> Markup:
    own = (_TEMPLATES / "canary.css").read_text(encoding="utf-8")
    return evaluation_css() + Markup(own)  # noqa: S704 - a file of ours


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _last(story: Story) -> Look | None:
    return story.looks[-1] if story.looks else None


def _frame(story: Story) -> Frame:
    canary = story.canary
    last = story.looks[-1].at if story.looks else canary.started_at
    return Frame(canary.started_at, max(canary.finished_at or story.told_at, last))


def facts(story: Story) -> list[tuple[str, str]]:
    """What stands below the headline: name and value."""
    canary, last = story.canary, _last(story)
    told = [
        ("approved", words.approved(canary)),
        ("began", f"{words.at(canary.started_at)} by {canary.started_by or 'nobody known'}"),
    ]
    if canary.state == "running":
        began, stages = canary.stage_started_at, canary.policy.stages
        for_so_long = words.lasted(began, story.told_at)
        told.append(("stage", f"{canary.stage + 1} of {len(stages)}, for {for_so_long}"))
    elif canary.finished_at is not None:
        by = f"by {canary.ended_by}" if canary.ended_by else "by a look"
        told.append(("ended", f"{words.at(canary.finished_at)} {by}"))
        told.append(("verified", words.verified(canary)))
    seen = "none yet" if last is None else f"{story.looks_in_all:,}, the last at {words.at(last.at)}"
    return [*told, ("looks", seen)]


def _parts(story: Story, frame: Frame) -> list[_Part]:
    """In the order of the last look that had findings; metrics that it does not name are of another plan."""
    points: dict[str, list[tuple[datetime, words.Seen]]] = {}
    order: list[str] = []
    for look in story.looks:
        seen = words.metrics_of(look)
        order = [one.name for one in seen] or order
        for one in seen:
            points.setdefault(one.name, []).append((look.at, one))
    changes = [step.since for step in story.steps[1:]]
    return [_part(name, points[name], changes, frame) for name in order]


def _part(
    name: str, points: Sequence[tuple[datetime, words.Seen]], changes: Sequence[datetime], frame: Frame
) -> _Part:
    last = points[-1][1]
    found, tone = words.finding(last.status)
    return _Part(
        title=words.label(name),
        meaning=words.meaning(name),
        finding=found,
        tone=tone,
        told=words.told(last),
        users=f"{last.canary_users:,} and {last.control_users:,} users",
        plot=sequence_svg(name, points, changes=changes, frame=frame),
    )


def _events(story: Story) -> list[_Event]:
    """What people did, and its beginning and end."""
    canary = story.canary
    events = [
        _Event(
            canary.started_at, "started", canary.started_by, f"{canary.candidate} against {canary.control}"
        )
    ]
    for action in story.actions:
        share = "" if action.share is None else f" {words.named(action.share)}"
        done = {"approve": "approved", "reject": "rejected", "abort": "aborted", "override": "overrode"}
        what = f"{done.get(action.action, action.action)}{share if action.action != 'abort' else ''}"
        events.append(_Event(action.at, what, action.by, action.comment or ""))
    if canary.finished_at is not None:
        end = f"ended {canary.state.replace('_', ' ')}"
        events.append(_Event(canary.finished_at, end, canary.ended_by or "a look", ""))
    if canary.verified_at is not None:
        events.append(_Event(canary.verified_at, "verified", "the gateways", canary.verification or ""))
    return sorted(events, key=lambda event: event.at)


def _unpriced(spent: Sequence[Spent]) -> list[str]:
    """Why what it cost is not, or not wholly, known."""
    found = {f"{one.version_id}: {one.note}" for one in spent if one.note}
    found |= {
        f"{one.untold:,} answers of {one.version_id} told no usage and are not in these figures"
        for one in spent
        if one.untold
    }
    return sorted(found)


def _settings(policy: CanaryPolicy) -> list[tuple[str, str]]:
    def shown(value: object) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{name} {part:g}" for name, part in value.items())
        if isinstance(value, list):
            return ", ".join(str(part) for part in value) or "none"
        return "none" if value is None else str(value)

    return [(name, shown(value)) for name, value in policy.model_dump(mode="json").items()]
