"""`gateway-tuning keys` and `gateway-tuning audit`: who may what, and who did what."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.access.permissions import Role
from gateway_tuning.cli.console import (
    AsJson,
    Limit,
    Tenant,
    actor,
    now,
    open_store,
    put_json,
    read_settings,
    show_table,
    told,
)
from gateway_tuning.errors import IntegrityError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.access.keys import ApiKey

keys_app = typer.Typer(no_args_is_help=True, help="API keys: who may use the API.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit log: who did what.")


@keys_app.command("create")
@told
def create_key(
    name: Annotated[str, typer.Option(help="Who uses it")],
    role: Annotated[Role, typer.Option(help="What it may do")],
    tenant: Tenant = "default",
    days: Annotated[int | None, typer.Option(min=1, help="Until it expires; never when left out")] = None,
) -> None:
    """Create a key and show it, this once: the store keeps a hash alone."""
    from gateway_tuning.access.audit import AuditEvent, AuditLog
    from gateway_tuning.access.keys import KeyStore

    engine, at, by = open_store(read_settings()), now(), actor()
    log = AuditLog(engine)
    expires_at = at + timedelta(days=days) if days is not None else None

    def audited(connection: "sa.Connection", key: "ApiKey") -> None:
        detail = {"role": str(role), "days": days}
        log.append_in(connection, AuditEvent(tenant, by, "api-key.create", key.id, detail=detail), now=at)

    key, text = KeyStore(engine).create(
        tenant, name, role, by=by, now=at, expires_at=expires_at, also=audited
    )
    typer.echo(text)
    typer.echo(f"Key {key.id} of {tenant} is {role}; it is not shown again", err=True)


@keys_app.command("list")
@told
def list_keys(
    *,
    tenant: Annotated[str | None, typer.Option(help="All when left out")] = None,
    as_json: AsJson = False,
) -> None:
    """List keys, newest first."""
    from gateway_tuning.access.keys import KeyStore

    rows = [
        [
            key.id,
            key.tenant,
            key.name,
            key.role,
            key.created_at,
            key.expires_at,
            key.revoked_at,
            key.last_used_at,
        ]
        for key in KeyStore(open_store(read_settings())).all(tenant)
    ]
    show_table(
        ["key", "tenant", "name", "role", "created", "expires", "revoked", "last used"], rows, as_json=as_json
    )


@keys_app.command("revoke")
@told
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `keys list` shows it")]) -> None:
    """Revoke a key; within seconds it opens nothing any more."""
    from gateway_tuning.access.audit import AuditEvent, AuditLog
    from gateway_tuning.access.keys import KeyStore

    engine, at = open_store(read_settings()), now()
    log = AuditLog(engine)

    def audited(connection: "sa.Connection", key: "ApiKey") -> None:
        log.append_in(connection, AuditEvent(key.tenant, actor(), "api-key.revoke", key.id), now=at)

    key = KeyStore(engine).revoke(key_id, now=at, also=audited)
    typer.echo(f"Key {key.id} ({key.name}) is revoked")


@audit_app.command("verify")
@told
def verify_audit(
    head: Annotated[str | None, typer.Option(help="A head noted earlier, which must still be there")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Follow the hash chain; end with code 1 where it is broken or shorter than it was."""
    from gateway_tuning.access.audit import AuditLog

    found = AuditLog(open_store(read_settings())).verify(expect_head=head)
    if not found.intact:
        place = (
            f"at entry {found.broken_at}" if found.broken_at is not None else f"after {found.entries} entries"
        )
        raise IntegrityError(
            f"The audit log is broken {place}: {found.reason}. Compare it with a backup to see what was changed"
        )
    if as_json:
        put_json({"entries": found.entries, "head": found.head, "intact": True})
        return
    typer.echo(f"{found.entries} entries, intact; head {found.head}")


@audit_app.command("list")
@told
def list_audit(*, tenant: Tenant = "default", limit: Limit = 50, as_json: AsJson = False) -> None:
    """List a tenant's entries, newest first."""
    from gateway_tuning.access.audit import AuditLog

    rows = [
        [
            entry.sequence,
            entry.at,
            entry.event.actor,
            entry.event.action,
            entry.event.object_id,
            entry.event.outcome,
        ]
        for entry in AuditLog(open_store(read_settings())).page(tenant, limit=limit)
    ]
    show_table(["entry", "at", "actor", "action", "object", "outcome"], rows, as_json=as_json)
