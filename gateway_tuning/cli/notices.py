"""`gateway-tuning notices`: what people were told, and whether a channel works."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli.console import (
    AsJson,
    now,
    open_store,
    put_json,
    read_settings,
    short,
    show_table,
    told,
)
from gateway_tuning.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway_tuning.notices.store import StoredNotice

app = typer.Typer(no_args_is_help=True, help="What people were told, and by what.")


@app.command("list")
@told
def list_notices(
    tenant: Annotated[str, typer.Option(help="Whose")] = "default",
    limit: Annotated[int, typer.Option(min=1, help="How many")] = 50,
    *,
    as_json: AsJson = False,
) -> None:
    """List notices, newest first, and what became of each."""
    from gateway_tuning.notices.store import NoticeStore

    found = NoticeStore(open_store(read_settings())).page(tenant, limit=limit)
    rows = [
        [
            short(one.notice.id),
            one.created_at,
            one.notice.severity,
            one.notice.kind,
            one.notice.subject,
            _delivered(one),
        ]
        for one in found
    ]
    show_table(["notice", "at", "severity", "kind", "subject", "delivered"], rows, as_json=as_json)


@app.command("show")
@told
def show_notice(
    notice: Annotated[str, typer.Argument(help="The notice, or how its id begins")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show a notice and every attempt's end."""
    from gateway_tuning.notices.store import NoticeStore

    found = NoticeStore(open_store(read_settings())).get(notice)
    if as_json:
        put_json(found)
        return
    typer.echo(f"{found.notice.subject}\n\n{found.notice.body}\n")
    rows = [
        [one.channel, one.attempts, one.sent_at, None if one.sent_at else one.next_attempt_at, one.error]
        for one in found.deliveries
    ]
    show_table(["channel", "attempts", "sent", "next attempt", "error"], rows)


@app.command("test")
@told
def try_channels() -> None:
    """Send a notice through every channel now; ends with 1 where one does not take it."""
    from gateway_tuning.notices.channel import DeliveryError
    from gateway_tuning.notices.delivery import channels_of
    from gateway_tuning.notices.notice import Kind, Notice, Severity, notice_id

    channels = channels_of(read_settings())
    if not channels:
        raise ConfigurationError(
            "No channel is set up; docs/how-to/notices.md says how, or set GATEWAY_TUNING_NOTIFY_WEBHOOK_URL"
        )
    at = now()
    trial = Notice(
        notice_id("test", at.isoformat()),
        "default",
        Kind.NOTICES,
        Severity.INFORMATION,
        "A test",
        f"Sent by hand at {at:%Y-%m-%d %H:%M} UTC. Nothing happened.",
    )
    failed = False
    for name, channel in channels.items():
        try:
            channel.send(trial)
        except DeliveryError as error:
            typer.secho(f"{name}: {error}", fg="red", err=True)
            failed = True
        else:
            typer.echo(f"{name}: sent")
    if failed:
        raise typer.Exit(1)


def _delivered(stored: "StoredNotice") -> str | None:
    """By channel, None where none was to be sent it."""
    told = [
        f"{one.channel} {'given up' if one.is_given_up else 'sent' if one.sent_at else 'waits'}"
        for one in stored.deliveries
    ]
    return ", ".join(told) or None
