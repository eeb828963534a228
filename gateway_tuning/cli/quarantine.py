"""`gateway-tuning feedback quarantine`: what was set aside and why; use it all the same, or never."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import (
    AsJson,
    Limit,
    Tenant,
    actor,
    now,
    open_store,
    put_json,
    read_settings,
    short,
    show_table,
    told,
)

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.feedback.reviews import Review

app = typer.Typer(help="What was set aside and why; use it all the same, or never.")

Fingerprint = Annotated[
    str,
    typer.Argument(
        autocompletion=ids("fingerprint"),
        help="The entry, as `feedback quarantine list` shows it, or its beginning",
    ),
]
Fingerprints = Annotated[
    list[str], typer.Argument(autocompletion=ids("fingerprint"), help="Entries, as for `show`; one or more")
]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the decision. Name no person")]
Stage = Annotated[
    str | None, typer.Option(help="reading, validation, trust or anonymization; all when left out")
]


@app.callback(invoke_without_command=True)
@told
def quarantine(
    context: typer.Context,
    *,
    tenant: Tenant = "default",
    limit: Limit = 50,
    stage: Stage = None,
    as_json: AsJson = False,
) -> None:
    """List what was set aside, newest first, with every reason."""
    if context.invoked_subcommand is None:
        _list(tenant, limit, stage, as_json=as_json)


@app.command("list")
@told
def list_quarantine(
    *, tenant: Tenant = "default", limit: Limit = 50, stage: Stage = None, as_json: AsJson = False
) -> None:
    """List what was set aside, newest first, with every reason and what a person decided."""
    _list(tenant, limit, stage, as_json=as_json)


@app.command("show")
@told
def show(fingerprint: Fingerprint, *, tenant: Tenant = "default", as_json: AsJson = False) -> None:
    """Show an entry with what it says, and every decision on it. It may hold personal data."""
    from gateway_tuning.feedback.acceptance import Reviewable, why_unacceptable
    from gateway_tuning.feedback.reviews import Reviews
    from gateway_tuning.feedback.store import FeedbackStore

    engine = open_store(read_settings())
    found = FeedbackStore(engine).set_aside(tenant, fingerprint)
    entry, whole = found.entry, found.entry.fingerprint
    against = why_unacceptable(
        Reviewable(tenant, whole, entry.stage, entry.reasons, entry.raw, entry.feedback_id)
    )
    history = Reviews(engine).history(tenant, whole)
    content = entry.raw if entry.raw is not None else _stored(engine, tenant, entry.feedback_id)
    if as_json:
        put_json(
            {
                "fingerprint": whole,
                "stage": entry.stage,
                "source": entry.source,
                "position": entry.position,
                "id": entry.feedback_id,
                "set_aside": found.created_at,
                "reasons": entry.reasons,
                "content": content,
                "unacceptable": against,
                "reviews": history,
            }
        )
        return
    show_table(
        ["", ""],
        [
            ["entry", whole],
            ["set aside", found.created_at],
            ["at", f"{entry.stage}, of {entry.source} {entry.position}"],
            ["feedback", entry.feedback_id],
            *[["because", reason] for reason in entry.reasons],
            ["can be accepted", "yes" if against is None else f"no: {against}"],
        ],
    )
    typer.echo("\n" + ("What it says is not kept" if content is None else content))
    if history:
        typer.echo("")
        show_table(
            ["at", "decision", "by", "reason", "stands"],
            [[one.at, one.decision, one.actor, one.reason, "yes" if one.stands else "no"] for one in history],
        )


@app.command("accept")
@told
def accept(fingerprints: Fingerprints, *, reason: Reason, tenant: Tenant = "default") -> None:
    """Let the next dataset use records that a rule of ours alone was against. The newest decision counts."""
    from gateway_tuning.feedback.reviews import Reviews

    engine = open_store(read_settings())
    for whole in [_whole(engine, tenant, one) for one in fingerprints]:
        review = Reviews(engine).accept(tenant, whole, actor=actor(), reason=reason, now=now())
        typer.echo(f"{whole[:12]} is accepted: the next dataset may use feedback {review.feedback_id}")


@app.command("reject")
@told
def reject(fingerprints: Fingerprints, *, reason: Reason, tenant: Tenant = "default") -> None:
    """Keep records out of every dataset to come, also where no rule is against it. The newest decision counts."""
    from gateway_tuning.feedback.reviews import Reviews

    engine = open_store(read_settings())
    for whole in [_whole(engine, tenant, one) for one in fingerprints]:
        Reviews(engine).reject(tenant, whole, actor=actor(), reason=reason, now=now())
        typer.echo(f"{whole[:12]} is rejected: no dataset to come uses it")


def _list(tenant: str, limit: int, stage: str | None, *, as_json: bool) -> None:
    from gateway_tuning.feedback.reviews import Reviews
    from gateway_tuning.feedback.store import FeedbackStore

    engine = open_store(read_settings())
    found = FeedbackStore(engine).list_quarantine(tenant, limit=limit, stage=stage)
    reviews = Reviews(engine).latest(tenant, [one.entry.fingerprint for one in found])
    rows: list[list[Any]] = [
        [
            short(one.entry.fingerprint),
            one.entry.stage,
            f"{one.entry.source} {one.entry.position}",
            one.entry.feedback_id,
            _decision(reviews.get(one.entry.fingerprint)),
            "; ".join(one.entry.reasons),
        ]
        for one in found
    ]
    show_table(["entry", "stage", "where", "id", "decision", "reasons"], rows, as_json=as_json)


def _decision(review: "Review | None") -> str | None:
    if review is None:
        return None
    return review.decision if review.stands else f"{review.decision}, before it changed"


def _whole(engine: "sa.Engine", tenant: str, fingerprint: str) -> str:
    from gateway_tuning.feedback.store import FeedbackStore

    return FeedbackStore(engine).set_aside(tenant, fingerprint).entry.fingerprint


def _stored(engine: "sa.Engine", tenant: str, feedback_id: str | None) -> str | None:
    """As ASCII: a text of a user may hold what steers a terminal."""
    import json

    from gateway_tuning.feedback.store import FeedbackStore

    record = None if feedback_id is None else FeedbackStore(engine).find(tenant, feedback_id)
    return None if record is None else json.dumps(record.model_dump(mode="json", exclude_none=True))
