"""`gateway-tuning models endpoint`: where a version answers that neither we nor its provider serve."""

from typing import Annotated

import typer

from gateway_tuning.cli.console import actor, now, open_store, read_settings, show_table, told


@told
def endpoint(
    version_id: Annotated[str, typer.Argument(help="The version, as `models list` shows it")],
    url: Annotated[str | None, typer.Argument(help="OpenAI-compatible address, ends in /v1; shown when left out")] = None,
    served_model: Annotated[str | None, typer.Option(help="The model's name there; as the registry has it")] = None,
    key_variable: Annotated[
        str | None, typer.Option(help="Environment variable that holds the key, here and for the gateway")
    ] = None,
) -> None:  # fmt: skip
    """Say where a version answers, or show it with every place before."""
    from gateway_tuning.errors import ConfigurationError
    from gateway_tuning.gateway.door.upstreams import Upstreams
    from gateway_tuning.registry.endpoint import Endpoint
    from gateway_tuning.registry.store import Registry

    settings = read_settings()
    registry = Registry(open_store(settings))
    version = registry.get(version_id)
    if url is None:
        changes = registry.endpoint_changes(version_id)
        rows = [[one.at, one.base_url, one.served_model, one.by] for one in changes]
        show_table(["since", "address", "served as", "by"], rows)
        return
    if not url.rstrip("/").endswith("/v1"):
        raise ConfigurationError(f"{url} is no address of OpenAI's chat API; give it with /v1 at its end")
    name = served_model or version.served_model
    if name is None:
        raise ConfigurationError(f"The registry has no name of {version_id} there; give it by --served-model")
    told_now = Endpoint(url.rstrip("/"), name, api_key_env=key_variable)
    registry.set_endpoint(version_id, told_now, now=now(), by=actor())
    typer.echo(f"{version_id} answers at {told_now.base_url} as {name}")
    refusal = Upstreams.parse(settings.gateway_upstreams).refusal(told_now)
    if refusal is not None:
        typer.echo(f"A gateway with these settings does not ask it: {refusal}", err=True)
