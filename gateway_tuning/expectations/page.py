"""Expectations and what was found, for people: a page that needs nothing else, and Markdown for an artifact.

Great Expectations' own data docs load scripts and styles from the network, so the page is ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway_tuning.evaluation.reporting.style import report_css
from gateway_tuning.expectations.expectation import Outcome

TEMPLATES = Path(__file__).parent / "templates"


def render_html(stages: Sequence[Mapping[str, Any]], *, title: str, subtitle: str = "") -> str:
    """`stages` each have `stage`, `success`, `warnings`, `frames` and, by frame, `expectations`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("expectations.html.j2").render(
        stages=stages,
        title=title,
        subtitle=subtitle,
        css=report_css(),
        verdict=verdict_of(stages),
        good=all(stage["success"] for stage in stages),
        told=told,
        observed=observed,
    )


def render_markdown(stages: Sequence[Mapping[str, Any]], *, title: str, link: str) -> str:
    """All that is not met or unknown; the page has everything."""
    lines = [f"# {title}", f"{verdict_of(stages)} [All expectations and what was found]({link})"]
    rows = [
        f"| {stage['stage']} | {one['name']} | {observed(one)} | {told(one)} |"
        for stage in stages
        for one in outcomes_of(stage)
        if one["success"] is not True
    ]
    if rows:
        lines += ["", "| stage | expectation | observed | result |", "|---|---|---|---|", *rows]
    return "\n".join(lines)


def outcomes_of(stage: Mapping[str, Any]) -> Iterator[Outcome]:
    for outcomes in stage["expectations"].values():
        yield from outcomes


def verdict_of(stages: Sequence[Mapping[str, Any]]) -> str:
    count = sum(1 for stage in stages for _ in outcomes_of(stage))
    warnings = sum(stage["warnings"] for stage in stages)
    failed = [stage["stage"] for stage in stages if not stage["success"]]
    end = f"The build was stopped after the {failed[0]}." if failed else "No critical one failed."
    return f"{count} expectations of {len(stages)} stages, {warnings} warnings. {end}"


def told(outcome: Outcome) -> str:
    if outcome["success"] is None:
        return "unknown"
    if outcome["success"]:
        return "met"
    return "failed" if outcome["severity"] == "critical" else "warning"


def observed(outcome: Outcome) -> str:
    value = outcome["observed"]
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
