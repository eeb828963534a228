"""`gateway-tuning deployments`: which versions users meet now, where they answer, and how it came to that."""

from typing import Annotated

import typer

from gateway_tuning.cli.console import AsJson, open_store, read_settings, show_table, told
from gateway_tuning.errors import NotFoundError


@told
def deployments(
    model: Annotated[
        str | None, typer.Argument(help="Its history too; all models without one when left out")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say which version is deployed, which is on trial, where they answer, and since when."""
    import orjson

    from gateway_tuning.registry.store import Registry
    from gateway_tuning.rollout.reporting import words

    registry = Registry(open_store(read_settings()))
    names = sorted({version.model for version in registry.versions(model)})
    if model is not None and not names:
        raise NotFoundError(f"No model {model}; `gateway-tuning models list` shows all")
    found = [registry.deployments(name) for name in names]
    if as_json:
        typer.echo(orjson.dumps(found if model is None else found[0]).decode())
        return
    show_table(
        ["model", "version", "as", "share", "since", "answers at", "canary"],
        [
            [
                one.model,
                now.version_id,
                now.role,
                words.percent(now.share),
                now.since,
                None if now.endpoint is None else f"{now.endpoint.base_url} as {now.endpoint.model}",
                now.canary_id,
            ]
            for one in found
            for now in one.now
        ],
    )
    if model is not None:
        typer.echo("")
        show_table(
            ["at", "version", "what", "by"],
            [[change.at, change.version_id, change.what, change.by] for change in found[0].history],
        )
