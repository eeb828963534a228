"""`gateway-tuning models threshold`: how much new feedback starts a cycle."""

from typing import Annotated

import typer

from gateway_tuning.cli.console import AsJson, Tenant, now, open_store, put_json, read_settings, told


@told
def threshold(
    name: Annotated[str, typer.Argument(help="Model behind the gateway; a free name becomes the tenant's")],
    count: Annotated[int | None, typer.Option(min=1, help="New records that start a cycle")] = None,
    hours: Annotated[float | None, typer.Option(min=0.01, help="They must have come within")] = None,
    tenant: Tenant = "default",
    *,
    as_json: AsJson = False,
) -> None:
    """Show how much new feedback starts a cycle of the model, or set it. What is not given keeps its value."""
    from gateway_tuning.feedback.threshold import ThresholdStore
    from gateway_tuning.storage.tenants import claim_model

    settings = read_settings()
    engine = open_store(settings)
    store = ThresholdStore(
        engine, default_count=settings.feedback_threshold, default_hours=settings.threshold_hours
    )
    if count is None and hours is None:
        found = store.setting(tenant, name)
    else:
        claim_model(engine, name, tenant, now=now())
        known = store.setting(tenant, name)
        found = store.set(tenant, name, count=count or known.own_count, hours=hours or known.own_hours)
    if as_json:
        put_json({"model": name, "count": found.count, "hours": found.hours, "is_default": found.is_default})
        return
    whose = "the default" if found.is_default else "its own"
    typer.echo(f"{name}: {found.count} new records within {found.hours:g} hours ({whose})")
