"""`gateway-tuning canary`: watch candidates on trial, and say what people have to say."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli import canary_replay
from gateway_tuning.cli.canary_story import as_json_of, tell
from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import (
    AsJson,
    Limit,
    Shown,
    actor,
    now,
    open_store,
    put_file,
    read_settings,
    show_table,
    told,
)

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.rollout.canary import Canary

app = typer.Typer(no_args_is_help=True, help="Candidates on trial with users: watch, approve, abort, replay.")
app.command("replay")(canary_replay.replay)

CanaryId = Annotated[
    str, typer.Argument(autocompletion=ids("canary_id"), help="The canary, as `canary list` shows it")
]
Comment = Annotated[str | None, typer.Option(help="Why; it is kept with the decision")]


@app.command("list")
@told
def list_canaries(
    model: Annotated[str | None, typer.Argument(help="All models when left out")] = None,
    *,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List canaries, newest first."""
    from gateway_tuning.rollout.reporting import words
    from gateway_tuning.rollout.reporting.story import newest

    show_table(
        ["canary", "model", "candidate", "against", "state", "share", "looks", "started", "ended", "by"],
        [
            [
                one.id,
                one.model,
                one.candidate,
                one.control,
                one.state.replace("_", " "),
                Shown(one.share, words.percent(one.share)),
                one.looks,
                one.started_at,
                one.finished_at,
                one.ended_by,
            ]
            for one in newest(open_store(read_settings()), model=model, limit=limit)
        ],
        as_json=as_json,
    )


@app.command("status")
@told
def status(
    canary_id: Annotated[str | None, typer.Argument(help="All that run when left out")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, the last look too")] = False,
) -> None:
    """Say how a canary stands: its share, every metric, what its next step needs, and what a person can do."""
    import orjson

    from gateway_tuning.rollout.canary_store import CanaryStore
    from gateway_tuning.rollout.reporting.story import read_story

    engine, at = open_store(read_settings()), now()
    ids = [canary_id] if canary_id else [one.id for one in CanaryStore(engine).running()]
    stories = [read_story(engine, one, now=at, drawn=2) for one in ids]
    if as_json:
        found = [as_json_of(story) for story in stories]
        typer.echo(orjson.dumps(found[0] if canary_id else found).decode())
        return
    if not stories:
        typer.echo("No canary runs; `gateway-tuning canary list` shows those that ended")
    for number, story in enumerate(stories):
        if number:
            typer.echo("")
        tell(story)


@app.command("page")
@told
def page(
    canary_id: CanaryId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; standard output when left out")
    ] = None,
) -> None:
    """Write a page that needs nothing else: share and metrics over time, who did what, what it cost."""
    from gateway_tuning.rollout.reporting.page import render_html
    from gateway_tuning.rollout.reporting.story import read_story
    from gateway_tuning.training.cost.price_file import price_book

    settings, at = read_settings(), now()
    prices = price_book(settings.price_file, today=at.date())
    html = render_html(read_story(open_store(settings), canary_id, now=at, prices=prices))
    if output is None:
        typer.echo(html, nl=False)
        return
    put_file(output, html)
    typer.echo(f"Canary {canary_id} is in {output}", err=True)


@app.command("approve")
@told
def approve(
    canary_id: CanaryId,
    *,
    share: Annotated[float, typer.Option(help="What it waits for, as 0.25; 1 is the promotion")],
    comment: Comment = None,
) -> None:
    """Let it be served up to the next share that its policy wants approved. Not for whoever started it."""
    from gateway_tuning.rollout.actions import CanaryActions
    from gateway_tuning.rollout.reporting import words

    engine, at = open_store(read_settings()), now()
    after = CanaryActions(engine).approve(
        canary_id,
        share,
        by=actor(),
        now=at,
        comment=comment,
        also=_audited(engine, canary_id, "approve", share=share),
    )
    typer.echo(f"{after.id}: {words.named(share)} is approved; approved now: {words.approved(after)}")


@app.command("reject")
@told
def reject(canary_id: CanaryId, *, comment: Comment = None) -> None:
    """End it instead of approving what it waits for."""
    from gateway_tuning.rollout.actions import CanaryActions

    engine, at = open_store(read_settings()), now()
    after = CanaryActions(engine).reject(
        canary_id, by=actor(), now=at, comment=comment, also=_audited(engine, canary_id, "reject")
    )
    _tell_end(after)


@app.command("abort")
@told
def abort(
    canary_id: CanaryId, *, reason: Annotated[str, typer.Option(help="Why; it is kept with the canary")]
) -> None:
    """Take all users back to the control at once."""
    from gateway_tuning.rollout.actions import CanaryActions

    engine, at = open_store(read_settings()), now()
    after = CanaryActions(engine).abort(
        canary_id, by=actor(), reason=reason, now=at, also=_audited(engine, canary_id, "abort")
    )
    _tell_end(after)


@app.command("override")
@told
def override(
    canary_id: CanaryId,
    *,
    share: Annotated[
        float | None, typer.Option(help="Its next step, 1 for the promotion; what that is when left out")
    ] = None,
    comment: Comment = None,
) -> None:
    """Want its next step although a look holds it. It takes a second person, and neither may have started it."""
    from gateway_tuning.rollout.actions import CanaryActions
    from gateway_tuning.rollout.canary import PROMOTION
    from gateway_tuning.rollout.canary_store import CanaryStore
    from gateway_tuning.rollout.reporting import words

    engine, at = open_store(read_settings()), now()
    before = CanaryStore(engine).get(canary_id)
    step = before.next_share if before.state == "running" else PROMOTION
    wanted = step if share is None else share
    actions = CanaryActions(engine)
    after = actions.override(
        canary_id,
        wanted,
        by=actor(),
        now=at,
        comment=comment,
        also=_audited(engine, canary_id, "override", share=wanted),
    )
    people = [one.by for one in actions.all(canary_id) if one.action == "override" and one.share == wanted]
    if after.state == "promoted":
        typer.echo(f"{after.id} is promoted: {after.candidate} is stable")
    elif len(people) > 1:
        typer.echo(f"{after.id}: {' and '.join(people)} want {words.named(wanted)}; its next look takes it")
    else:
        typer.echo(f"{after.id}: {people[0]} wants {words.named(wanted)}; another person must want it too")


def _audited(
    engine: "sa.Engine", canary_id: str, action: str, *, share: float | None = None
) -> "Callable[[sa.Connection], object]":
    """The entry stands or falls with what was done. Raises NotFoundError."""
    from gateway_tuning.access.audit import AuditEvent, AuditLog
    from gateway_tuning.rollout.canary_store import CanaryStore

    canary, at = CanaryStore(engine).get(canary_id), now()
    detail = {"model": canary.model, "candidate": canary.candidate}
    event = AuditEvent(
        canary.tenant,
        actor(),
        f"canary.{action}",
        canary_id,
        detail=detail if share is None else detail | {"share": share},
    )
    return lambda connection: AuditLog(engine).append_in(connection, event, now=at)


def _tell_end(canary: "Canary") -> None:
    typer.echo(f"{canary.id} is {canary.state.replace('_', ' ')}: {'; '.join(canary.reasons)}")
