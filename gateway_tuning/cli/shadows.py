"""`gateway-tuning shadow`: ask a candidate what users ask, without showing its answers."""

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import AsJson, actor, now, open_store, read_settings, show_table, told
from gateway_tuning.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.rollout.shadows.shadow import TokenPrices

app = typer.Typer(no_args_is_help=True, help="Ask a candidate what users ask, without showing its answers.")

ShadowId = Annotated[
    str, typer.Argument(autocompletion=ids("shadow_id"), help="The shadow, as `shadow list` shows it")
]
_DEFAULT_REQUESTS = 500


@app.command("start")
@told
def start(
    model: Annotated[str, typer.Argument(help="Model behind the gateway")],
    *,
    candidate: Annotated[str, typer.Option(help="The version, as `models list` shows it")],
    share: Annotated[float, typer.Option(help="Of the stable version's requests")] = 0.1,
    max_requests: Annotated[
        int | None, typer.Option(help=f"{_DEFAULT_REQUESTS} where a budget holds; else it must be given")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="A decimal in the currency of the prices")] = None,
    hours: Annotated[float, typer.Option(min=0.01, help="After which it ends")] = 24.0,
) -> None:
    """Mirror a share of what the stable version answers. Gateways begin within a second."""
    from gateway_tuning.access.audit import AuditEvent, AuditLog
    from gateway_tuning.rollout.shadows.store import ShadowStore
    from gateway_tuning.rollout.shadows.telling import cost

    engine, at = open_store(read_settings()), now()
    tenant, prices = _version(engine, model, candidate)
    limit = None if budget is None else _amount(budget)
    if max_requests is None and limit is None:
        raise ConfigurationError("Nothing limits this shadow: give --max-requests, or a --budget")
    shadow = ShadowStore(engine).start(
        model,
        tenant=tenant,
        candidate=candidate,
        share=share,
        max_requests=_DEFAULT_REQUESTS if max_requests is None else max_requests,
        budget=limit,
        prices=prices,
        ends_at=at + timedelta(hours=hours),
        by=actor(),
        now=at,
    )
    detail = {"candidate": candidate, "share": share, "budget": budget, "max_requests": shadow.max_requests}
    AuditLog(engine).append(AuditEvent(tenant, actor(), "shadow.start", shadow.id, detail=detail), now=at)
    typer.echo(f"{shadow.id}: {share:g} of the requests to {shadow.control} go to {candidate} too")
    typer.echo(cost(shadow))


@app.command("list")
@app.command("status", hidden=True)
@told
def list_shadows(
    model: Annotated[str | None, typer.Argument(help="All models when left out")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List shadows, newest first."""
    from gateway_tuning.rollout.shadows.store import ShadowStore
    from gateway_tuning.rollout.shadows.telling import cost

    store = ShadowStore(open_store(read_settings()))
    store.running(now())  # ends those whose time is over, where no gateway runs
    show_table(
        ["shadow", "model", "candidate", "against", "share", "state", "requests", "cost", "ends", "why"],
        [
            [
                one.id,
                one.model,
                one.candidate,
                one.control,
                f"{one.share:g}",
                one.state.replace("_", " "),
                f"{one.requests} of {one.max_requests}",
                cost(one),
                one.finished_at or one.ends_at,
                "; ".join(one.reasons) or None,
            ]
            for one in store.all(model)
        ],
        as_json=as_json,
    )


@app.command("stop")
@told
def stop(shadow_id: ShadowId) -> None:
    """End a shadow. What is under way is still counted and kept."""
    from gateway_tuning.access.audit import AuditEvent, AuditLog
    from gateway_tuning.rollout.shadows.store import ShadowStore

    engine, at = open_store(read_settings()), now()
    shadow = ShadowStore(engine).stop(shadow_id, by=actor(), now=at)
    AuditLog(engine).append(AuditEvent(shadow.tenant, actor(), "shadow.stop", shadow.id), now=at)
    typer.echo(f"{shadow.id} is {shadow.state.replace('_', ' ')}: {'; '.join(shadow.reasons)}")


@app.command("report")
@told
def report(
    shadow_id: ShadowId,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="For a ticket or a wiki")] = False,
) -> None:
    """Compare both answers to each request: differences with intervals, and whether the candidate is worse."""
    from gateway_tuning.rollout.shadows import telling
    from gateway_tuning.rollout.shadows.report import report as reported
    from gateway_tuning.rollout.shadows.store import ShadowStore

    store = ShadowStore(open_store(read_settings()))
    store.running(now())
    found = reported(store.get(shadow_id), store.pairs(shadow_id))
    if as_json:
        import orjson

        typer.echo(orjson.dumps(found, default=str).decode())
    elif as_markdown:
        typer.echo(telling.markdown(found), nl=False)
    else:
        for line in telling.lines(found):
            typer.echo(line)
        show_table(telling.COLUMNS, telling.rows(found))


def _version(engine: "sa.Engine", model: str, candidate: str) -> "tuple[str, TokenPrices | None]":
    """Its tenant, and what its answers cost by the price table of today."""
    from gateway_tuning.registry.store import Registry
    from gateway_tuning.rollout.shadows.shadow import TokenPrices
    from gateway_tuning.training.cost.price_file import price_book
    from gateway_tuning.training.cost.prices import Unit

    version = Registry(engine).get(candidate)
    if version.model != model:
        raise ConfigurationError(f"{candidate} is a version of {version.model}, not of {model}")
    today = now().date()
    book = price_book(read_settings().price_file, today=today)
    read, written = (
        book.price(version.provider, version.base_model, "", unit, on=today)
        for unit in (Unit.MILLION_READ, Unit.MILLION_WRITTEN)
    )
    if read is None or written is None:
        return version.tenant, None
    if read.currency != written.currency:
        raise ConfigurationError(
            f"The prices of {version.base_model} at {version.provider} are in {read.currency} and {written.currency}; "
            "give both in one currency in your price_file"
        )
    return version.tenant, TokenPrices(read.amount, written.amount, read.currency)


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ConfigurationError(f"A budget is a decimal such as 1 or 12.50, not {text!r}") from None
    if not amount.is_finite():
        raise ConfigurationError("A budget is a number; leave it out for none")
    return amount
