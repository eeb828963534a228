"""`gateway-tuning vault`: the way back from pseudonyms, each step of it in the audit log."""

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway_tuning.cli.console import AsJson, Tenant, actor, now, open_store, read_settings, show_table, told
from gateway_tuning.errors import ConflictError, GatewayTuningError, IntegrityError, NotFoundError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.anonymization.vaults import TenantVault

_LOOK_SECONDS = 5.0  # for others to be done with a vault
app = typer.Typer(no_args_is_help=True, help="Vaults: what pseudonyms stand for, until it is destroyed.")


@app.command("reveal")
@told
def reveal(
    pseudonym: Annotated[str, typer.Argument(help="As it stands in a dataset, such as `Robin Toraby`")],
    tenant: Tenant = "default",
    asked_by: Annotated[
        str | None,
        typer.Option("--actor", help="Who asked for it, noted beside the user who gives the command"),
    ] = None,
) -> None:
    """Show what a pseudonym stands for. The audit log keeps that it was asked, and a keyed hash of it alone."""
    vault = _vault(tenant)
    if not vault.exists:
        raise NotFoundError(f"Tenant {tenant} has no vault; `gateway-tuning vault list` shows all")
    try:
        entries = vault.reveal(pseudonym)
    except GatewayTuningError as error:
        _note(vault, "vault.reveal", _hidden(vault, pseudonym), asked_by, why_not=type(error).__name__)
        raise
    _note(vault, "vault.reveal", _hidden(vault, pseudonym), asked_by)
    for original, entity in dict.fromkeys((entry.original, entry.entity) for entry in entries):
        shown = json.dumps(original, ensure_ascii=False)  # a text of a user may hold what steers a terminal
        typer.echo(f"{entity}\t{shown.encode('utf-8', 'backslashreplace').decode()}")


@app.command("destroy")
@told
def destroy(
    tenant: Tenant = "default",
    asked_by: Annotated[
        str | None,
        typer.Option("--actor", help="Who asked for it, noted beside the user who gives the command"),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Destroy without asking")] = False,
) -> None:
    """Delete a tenant's vault, its data key first: no pseudonym of before leads back any more."""
    from gateway_tuning.anonymization.vaults import tenant_hash
    from gateway_tuning.storage import layout

    vault = _vault(tenant)
    folder = layout.vault_folder(tenant_hash(tenant))
    if not vault.objects.list_keys(folder):
        raise NotFoundError(f"Tenant {tenant} has no vault; `gateway-tuning vault list` shows all")
    if not yes:
        typer.confirm(
            f"Destroy the vault of {tenant}? Its pseudonyms will lead nowhere, for good", abort=True
        )
    _note(vault, "vault.destroy", folder, asked_by)  # first: killed after it, the command is given again
    try:
        vault.destroy()
    except GatewayTuningError as error:
        _note(vault, "vault.destroy", folder, asked_by, why_not=type(error).__name__)
        raise
    typer.echo(f"The vault of {tenant} is destroyed; copies of its key in backups are beyond reach")


@app.command("list")
@app.command("status", hidden=True)
@told
def list_vaults(
    *,
    tenant: Annotated[str | None, typer.Option(help="All when left out")] = None,
    as_json: AsJson = False,
) -> None:
    """List vaults: how many batches and entries each has, and whether it opens."""
    from gateway_tuning.anonymization.vaults import tenant_hash
    from gateway_tuning.storage import layout

    any_vault = _vault(tenant or "")
    keys = any_vault.objects.list_keys(layout.VAULTS)
    batches = Counter(key.split("/")[1] for key in keys if "/batches/" in key)
    names = {tenant_hash(name): name for name in _tenants(any_vault.engine)}
    rows = [
        [
            names.get(hashed),
            layout.vault_folder(hashed),
            batches[hashed],
            *_state(any_vault, names.get(hashed)),
        ]
        for hashed in sorted({key.split("/")[1] for key in keys})
        if tenant is None or hashed == tenant_hash(tenant)
    ]
    show_table(["tenant", "folder", "batches", "entries", "state"], rows, as_json=as_json)


def _state(any_vault: "TenantVault", tenant: str | None) -> tuple[int | None, str]:
    if tenant is None:
        return None, "of a tenant that this store does not know"
    vault = replace(any_vault, tenant=tenant, wait_seconds=_LOOK_SECONDS)
    if not vault.exists:
        return None, "key destroyed, batches left; destroy it again"
    if vault.key is None:
        return None, "closed: GATEWAY_TUNING_VAULT_KEY is not set"
    try:
        return vault.count(lambda _entry: True), "open"
    except ConflictError:
        return None, "held by another process"
    except IntegrityError:
        return None, "does not open: another key, or a changed object"


def _tenants(engine: "sa.Engine") -> list[str]:
    import sqlalchemy as sa

    from gateway_tuning.storage.database import reading
    from gateway_tuning.storage.tables import tenants

    with reading(engine) as connection:
        return list(connection.execute(sa.select(tenants.c.name)).scalars())


def _vault(tenant: str) -> "TenantVault":
    from gateway_tuning.anonymization.vaults import TenantVault, vault_key
    from gateway_tuning.storage.object_store import ObjectStore

    settings = read_settings()
    objects = ObjectStore.from_settings(settings)
    return TenantVault(open_store(settings), objects, tenant, vault_key(settings))


def _hidden(vault: "TenantVault", pseudonym: str) -> str:
    """Who has the tenant's key can tell whether an entry is of a given pseudonym, and nobody else."""
    from gateway_tuning.feedback.subjects import subject_id
    from gateway_tuning.storage.tenants import subject_key

    return subject_id(subject_key(vault.engine, vault.tenant, now=now()), f"pseudonym\0{pseudonym}")


def _note(
    vault: "TenantVault",
    action: str,
    object_id: str,
    asked_by: str | None,
    *,
    why_not: str | None = None,
) -> None:
    from gateway_tuning.access.audit import AuditEvent, AuditLog, Outcome

    detail: dict[str, Any] = {} if asked_by is None else {"asked_by": asked_by}
    if why_not is not None:
        detail["error"] = why_not
    outcome = Outcome.DONE if why_not is None else Outcome.FAILED
    event = AuditEvent(vault.tenant, actor(), action, object_id, outcome=outcome, detail=detail)
    AuditLog(vault.engine).append(event, now=now())
