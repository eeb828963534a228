"""How a canary stands, in the terminal and as JSON."""

from typing import TYPE_CHECKING, Any

import typer

from gateway_tuning.cli.console import show_table

if TYPE_CHECKING:
    from gateway_tuning.rollout.reporting.story import Story


def tell(story: "Story") -> None:
    from gateway_tuning.rollout.reporting import words

    canary, last = story.canary, story.looks[-1] if story.looks else None
    typer.echo(f"{canary.id}: {canary.candidate} against {canary.control}, of {canary.model}")
    typer.echo(words.headline(canary)[0])
    rows: list[list[Any]] = [
        ["approved", words.approved(canary)],
        ["started", f"{words.at(canary.started_at)} by {canary.started_by or 'nobody known'}"],
    ]
    if canary.state == "running":
        rows.append(["stage since", canary.stage_started_at])
    elif canary.finished_at is not None:
        rows.append(["ended", f"{words.at(canary.finished_at)} by {canary.ended_by or 'a look'}"])
        rows.append(["verified", words.verified(canary)])
    rows.append(["looks", f"{story.looks_in_all}, the last at {words.at(last.at)}" if last else "none yet"])
    show_table(["", ""], rows)
    simulated = 0 if last is None else last.verdict.get("simulated_requests", 0)
    if simulated:
        typer.echo(f"{simulated} of the requests are of simulated users")
    metrics = [] if last is None else words.metrics_of(last)
    if metrics:
        typer.echo("")
        show_table(
            ["metric", "finding", "canary", "control", "harm", "between", "margin", "users"],
            map(_row, metrics),
        )
    _tell_list("Why:", [] if canary.state == "running" else words.why(canary, last))
    _tell_list("Still needed:", words.missing(canary, last))
    _tell_list("A person may", [f"{what}: {command}" for what, command in words.to_do(canary, last)])
    if story.actions:
        typer.echo("")
        show_table(
            ["at", "what", "share", "by", "why"],
            [[one.at, one.action, one.share, one.by, one.comment] for one in story.actions],
        )


def _row(seen: Any) -> list[str]:
    from gateway_tuning.rollout.reporting import words

    return [
        words.label(seen.name).lower(),
        words.finding(seen.status)[0],
        words.level(seen.name, seen.canary),
        words.level(seen.name, seen.control),
        words.harm(seen.name, seen.harm),
        words.between(seen.name, seen.low, seen.high),
        words.limit(seen.name, seen.margin),
        f"{min(seen.canary_users, seen.control_users)}",
    ]


def _tell_list(title: str, lines: Any) -> None:
    if lines:
        typer.echo(f"\n{title}")
        for line in lines:
            typer.echo(f"- {line}")


def as_json_of(story: "Story") -> dict[str, Any]:
    """Without the salt: with it anybody could tell in which arm a user is."""
    from dataclasses import asdict

    canary = {name: value for name, value in asdict(story.canary).items() if name not in {"salt", "policy"}}
    return {
        "canary": canary | {"policy": story.canary.policy.model_dump(mode="json")},
        "looks": story.looks_in_all,
        "last_look": story.looks[-1] if story.looks else None,
        "steps": story.steps,
        "actions": story.actions,
    }
