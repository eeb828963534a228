"""`gateway-tuning gateway`: who may use the gateway, and under which names."""

from datetime import timedelta
from typing import Annotated

import typer

from gateway_tuning.cli.console import (
    AsJson,
    Shown,
    Tenant,
    actor,
    now,
    open_store,
    read_settings,
    show_table,
    told,
)

app = typer.Typer(no_args_is_help=True, help="The gateway's virtual keys and model names.")
keys_app = typer.Typer(no_args_is_help=True, help="Virtual keys: who may use the gateway.")
names_app = typer.Typer(no_args_is_help=True, help="Names that clients may ask for instead of a model's own.")
app.add_typer(keys_app, name="keys")
app.add_typer(names_app, name="names")


@keys_app.command("create")
@told
def create_key(  # noqa: PLR0917 - typer's options have names
    name: Annotated[str, typer.Option(help="Who uses it")],
    tenant: Tenant = "default",
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model it opens, again for another; all of the tenant's if left out"),
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="No limit when left out")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(min=1, help="No limit when left out")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Until it expires; never when left out")] = None,
) -> None:
    """Create a key and show it, this once: the store keeps a hash alone."""
    from gateway_tuning.gateway.door.keys import GatewayKeyStore

    at = now()
    key, text = GatewayKeyStore(open_store(read_settings())).create(
        tenant,
        name,
        by=actor(),
        now=at,
        models=model or (),
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        expires_at=None if days is None else at + timedelta(days=days),
    )
    typer.echo(text)
    typer.echo(f"Gateway key {key.id} of {tenant}; it works within a second and is not shown again", err=True)


@keys_app.command("list")
@told
def list_keys(
    *,
    tenant: Annotated[str | None, typer.Option(help="All when left out")] = None,
    as_json: AsJson = False,
) -> None:
    """List keys, newest first."""
    from gateway_tuning.gateway.door.keys import GatewayKeyStore

    rows = [
        [
            key.id,
            key.tenant,
            key.name,
            Shown(key.models, "all" if key.models is None else ", ".join(sorted(key.models))),
            key.requests_per_minute,
            key.tokens_per_minute,
            key.created_at,
            key.expires_at,
            key.revoked_at,
        ]
        for key in GatewayKeyStore(open_store(read_settings())).all(tenant)
    ]
    columns = [
        "key",
        "tenant",
        "name",
        "models",
        "requests/min",
        "tokens/min",
        "created",
        "expires",
        "revoked",
    ]
    show_table(columns, rows, as_json=as_json)


@keys_app.command("revoke")
@told
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `gateway keys list` shows it")]) -> None:
    """Revoke a key; within seconds it opens nothing any more."""
    from gateway_tuning.gateway.door.keys import GatewayKeyStore

    key = GatewayKeyStore(open_store(read_settings())).revoke(key_id, by=actor(), now=now())
    typer.echo(f"Gateway key {key.id} ({key.name}) is revoked")


@names_app.command("set")
@told
def set_name(
    name: Annotated[str, typer.Argument(help="What clients ask for")],
    model: Annotated[str, typer.Argument(help="The model that answers them")],
) -> None:
    """Let a name stand for a model; gateways know it within a second."""
    from gateway_tuning.gateway.door.names import ModelNameStore

    ModelNameStore(open_store(read_settings())).set(name, model, by=actor(), now=now())
    typer.echo(f"{name} stands for {model}")


@names_app.command("list")
@told
def list_names(*, as_json: AsJson = False) -> None:
    """List names and the models they stand for."""
    from gateway_tuning.gateway.door.names import ModelNameStore

    found = ModelNameStore(open_store(read_settings())).all()
    show_table(
        ["name", "model", "set by", "at"],
        [[one.name, one.model, one.created_by, one.created_at] for one in found],
        as_json=as_json,
    )


@names_app.command("remove")
@told
def remove_name(name: Annotated[str, typer.Argument(help="As `gateway names list` shows it")]) -> None:
    """Forget a name; within a second clients that ask for it get an error."""
    from gateway_tuning.gateway.door.names import ModelNameStore

    found = ModelNameStore(open_store(read_settings())).remove(name, by=actor(), now=now())
    typer.echo(f"{found.name} no longer stands for {found.model}")
