"""`gateway-tuning costs` and `gateway-tuning budgets`: what tuning costs, did cost and may cost."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli.console import (
    AsJson,
    Limit,
    Tenant,
    actor,
    now,
    open_store,
    read_settings,
    short,
    show_table,
    told,
)
from gateway_tuning.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from gateway_tuning.datasets.manifest import Manifest
    from gateway_tuning.training.cost.affording import Counter
    from gateway_tuning.training.cost.reservations import Reservation

costs_app = typer.Typer(no_args_is_help=True, help="What tuning costs: estimated, set aside, paid.")
budgets_app = typer.Typer(no_args_is_help=True, help="What a tenant may spend on tuning.")

NO_LIMIT = "none"
Month = Annotated[str | None, typer.Option(help="Such as 2026-11; this one when left out")]


@costs_app.command("list")
@told
def list_costs(*, tenant: Tenant = "default", limit: Limit = 50, as_json: AsJson = False) -> None:
    """List what jobs did cost, newest first, beside what was expected. An amount that is not known is a dash."""
    from gateway_tuning.training.cost.entries import CostStore

    rows = [
        [
            short(entry.object_id),
            entry.provider,
            entry.amount,
            entry.expected,
            entry.currency,
            entry.created_at,
            entry.note,
        ]
        for entry in CostStore(open_store(read_settings())).page(tenant, limit=limit)
    ]
    show_table(["job", "provider", "cost", "expected", "currency", "at", "note"], rows, as_json=as_json)


@costs_app.command("report")
@told
def report(month: Month = None, tenant: Tenant = "default", *, as_json: AsJson = False) -> None:
    """Show a month: each job's estimate against its cost, what is left of the budget, how good estimates were."""
    from gateway_tuning.training.cost.budgets import BudgetStore
    from gateway_tuning.training.cost.history import accuracy
    from gateway_tuning.training.cost.limits import money
    from gateway_tuning.training.cost.reservations import ReservationStore, month_of, spending_of

    engine = open_store(read_settings())
    chosen = month_of(now()) if month is None else _month(month)
    reservations, every = (
        ReservationStore(engine).of(tenant, month=chosen),
        ReservationStore(engine).of(tenant),
    )
    show_table(
        ["job", "provider", "base model", "state", "expected", "at most", "cost", "currency", "confidence"],
        [_row(one) for one in reservations],
        as_json=as_json,
    )
    if as_json:
        return
    spending, budget = spending_of(reservations, chosen), BudgetStore(engine).get(tenant)
    for currency, amount in sorted(spending.amounts.items()):
        typer.echo(f"{chosen}: {money(amount, currency)} spent or set aside")
    if budget.per_month is not None:
        left = budget.per_month - spending.amounts.get(budget.currency, Decimal(0))
        typer.echo(f"{money(left, budget.currency)} of {money(budget.per_month, budget.currency)} are left")
    if spending.unknown:
        typer.secho(
            f"not in it, for nobody knows: {', '.join(key[:12] for key in spending.unknown)}", fg="yellow"
        )
    for found in accuracy(every):
        typer.echo(f"{found.base_model} at {found.provider}: {found.told}; estimates are not corrected by it")


@costs_app.command("estimate")
@told
def estimate(
    dataset_id: Annotated[str, typer.Argument(help="As `datasets` lists it")],
    *,
    provider: Annotated[str, typer.Option(help="As `providers` lists it")] = "llama",
    model: Annotated[str, typer.Option(help="Base model")] = "SmolLM2-135M-Instruct",
    method: Annotated[str, typer.Option(help="supervised, dpo, ...")] = "supervised",
    epochs: Annotated[int | None, typer.Option(min=1, help="The provider's choice when left out")] = None,
    max_hours: Annotated[float, typer.Option(min=0.01, help="After which the job is stopped")] = 6.0,
) -> None:
    """Estimate a job on a dataset. No provider is asked and nothing is set aside."""
    from gateway_tuning.training.cost.history import accuracy
    from gateway_tuning.training.cost.limits import money
    from gateway_tuning.training.cost.reservations import ReservationStore
    from gateway_tuning.training.job import TuningSpec

    counter = _counter()
    manifest = _manifest(counter, dataset_id)
    chosen = {} if epochs is None else {_epochs_of(provider): epochs}
    spec = TuningSpec(provider, model, dataset_id, method, chosen)
    found = counter.estimate(spec, manifest, max_hours=max_hours, now=now())
    show_table(["part", "amount", "how"], [[part.name, part.amount, part.told] for part in found.parts])
    if found.expected is None or found.ceiling is None:
        typer.secho(
            "Nobody knows what this costs. Give the price in your price_file: docs/how-to/costs.md",
            fg="yellow",
        )
        raise typer.Exit(1)
    expected, ceiling = money(found.expected, found.currency), money(found.ceiling, found.currency)
    typer.echo(f"{expected} expected, {ceiling} set aside; {found.confidence.told} confidence: {found.why}")
    for one in accuracy(ReservationStore(counter.engine).of(manifest.tenant)):
        if (one.provider, one.base_model) == (provider, model):
            typer.echo(f"{one.told}; this estimate is not corrected by it")


@costs_app.command("prices")
@told
def prices(
    provider: Annotated[str | None, typer.Option(help="All when left out")] = None, *, as_json: AsJson = False
) -> None:
    """List the prices that are known, and where they are written. Yours come from the price file."""
    from gateway_tuning.training.cost.price_file import price_book

    book = price_book(read_settings().price_file, today=now().date())
    rows = [
        [
            price.provider,
            price.model,
            ", ".join(price.methods) or "all",
            price.unit,
            price.amount,
            price.currency,
            price.checked_on,
            "yours" if price.own else price.source,
        ]
        for price in book.prices
        if provider in {None, price.provider}
    ]
    show_table(
        ["provider", "model", "methods", "unit", "amount", "currency", "checked", "source"],
        rows,
        as_json=as_json,
    )


@costs_app.command("reprice")
@told
def reprice(tenant: Tenant = "default") -> None:
    """Give amounts to costs that have none, by the prices that are known now."""
    given = _counter().reprice(tenant, now=now())
    typer.echo(f"{len(given)} priced{': ' if given else ''}{', '.join(key[:12] for key in given)}")


@costs_app.command("release")
@told
def release(key: Annotated[str, typer.Argument(help="The job, or how its key begins")]) -> None:
    """Free what is set aside for a job that no provider has, because its run was given up."""
    from gateway_tuning.training.cost.reservations import ReservationStore
    from gateway_tuning.training.jobs import JobStore

    engine = open_store(read_settings())
    reservations = ReservationStore(engine)
    found = reservations.named(key)
    if len(found) != 1:
        raise NotFoundError(
            f"{len(found) or 'No'} jobs with money set aside begin with {key}; `gateway-tuning costs report` shows all"
        )
    try:
        job = JobStore(engine).get(found[0].job_key)
    except NotFoundError:
        job = None
    if job is not None and (job.provider_job_id is not None or not job.status.is_terminal):
        raise ConfigurationError(
            f"Job {job.key[:12]} is {job.status} at {job.spec.provider}; `gateway-tuning jobs cancel` ends it first"
        )
    reservations.release(found[0].job_key, now=now())
    typer.echo(f"What was set aside for {found[0].job_key[:12]} is free")


@budgets_app.command("set")
@told
def set_budget(
    tenant: Tenant = "default",
    per_run: Annotated[str | None, typer.Option(help=f"A decimal, or {NO_LIMIT}")] = None,
    per_month: Annotated[str | None, typer.Option(help=f"A decimal, or {NO_LIMIT}")] = None,
    currency: Annotated[str | None, typer.Option(help="Such as USD")] = None,
) -> None:
    """Limit what a tenant may spend on tuning. What is not given keeps its value."""
    from gateway_tuning.access.audit import AuditEvent, AuditLog
    from gateway_tuning.training.cost.budgets import BudgetStore
    from gateway_tuning.training.cost.limits import Budget

    engine, at = open_store(read_settings()), now()
    known = BudgetStore(engine).get(tenant)
    chosen = Budget(
        currency=known.currency if currency is None else _currency(currency),
        per_run=known.per_run if per_run is None else _limit(per_run),
        per_month=known.per_month if per_month is None else _limit(per_month),
    )
    BudgetStore(engine).set(tenant, chosen, by=actor(), now=at)
    detail = {name: str(getattr(chosen, name)) for name in ("currency", "per_run", "per_month")}
    AuditLog(engine).append(AuditEvent(tenant, actor(), "budget.set", tenant, detail=detail), now=at)
    show_budgets()


@budgets_app.command("list")
@budgets_app.command("show", hidden=True)
@told
def show_budgets(*, as_json: AsJson = False) -> None:
    """Show every tenant's limits, and what is spent or set aside this month."""
    from gateway_tuning.training.cost.budgets import BudgetStore
    from gateway_tuning.training.cost.limits import money
    from gateway_tuning.training.cost.reservations import ReservationStore, month_of

    engine, month = open_store(read_settings()), month_of(now())
    rows = []
    for tenant, budget in BudgetStore(engine).all().items():
        spending = ReservationStore(engine).spending(tenant, month)
        spent = spending.amounts or {budget.currency: Decimal(0)}
        used = ", ".join(money(amount, currency) for currency, amount in sorted(spent.items()))
        rows.append(
            [tenant, budget.per_run, budget.per_month, budget.currency, used, len(spending.unknown) or None]
        )
    columns = ["tenant", "a run", "a month", "currency", f"used in {month}", "jobs of unknown cost"]
    if as_json:
        columns[4] = "used this month"
    show_table(columns, rows, as_json=as_json)


def _row(one: "Reservation") -> list[object]:
    return [
        short(one.job_key),
        one.provider,
        one.base_model,
        one.state,
        one.expected,
        one.ceiling,
        one.actual,
        one.currency,
        one.confidence,
    ]


def _counter() -> "Counter":
    from gateway_tuning.storage.object_store import ObjectStore
    from gateway_tuning.training.cost.affording import Counter

    settings = read_settings()
    return Counter(settings, open_store(settings), ObjectStore.from_settings(settings))


def _manifest(counter: "Counter", dataset_id: str) -> "Manifest":
    from gateway_tuning.datasets.catalog import DatasetCatalog

    return DatasetCatalog(counter.engine, counter.objects).manifest(dataset_id)


def _epochs_of(provider: str) -> str:
    return {"bedrock": "epochCount", "openai": "n_epochs", "together": "n_epochs"}.get(provider, "epochs")


def _month(text: str) -> str:
    try:
        return f"{datetime.strptime(text, '%Y-%m'):%Y-%m}"  # noqa: DTZ007 - a month has no zone
    except ValueError:
        raise ConfigurationError(f"A month is such as 2026-11, not {text!r}") from None


def _limit(text: str) -> Decimal | None:
    if text == NO_LIMIT:
        return None
    try:
        limit = Decimal(text)
    except InvalidOperation:
        raise ConfigurationError(
            f"A limit is a decimal such as 250 or 12.50, or {NO_LIMIT}; not {text!r}"
        ) from None
    if not limit.is_finite():
        raise ConfigurationError(f"A limit is a number; for none say {NO_LIMIT}")
    return limit


def _currency(text: str) -> str:
    if not (text.isascii() and text.isalpha() and text.isupper() and len(text) == 3):  # noqa: PLR2004 - ISO 4217
        raise ConfigurationError(f"A currency is three capital letters such as USD, not {text!r}")
    return text
