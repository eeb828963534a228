"""`gateway-tuning providers`: which there are, and until when they take jobs and serve."""

import json
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway_tuning.cli.console import AsJson, now, open_store, read_settings, show_table, told

if TYPE_CHECKING:
    from gateway_tuning.training.lifecycle.in_use import Use

app = typer.Typer(help="Training providers, and how long they offer base models.")

On = Annotated[datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="As of this day")]


@app.callback(invoke_without_command=True)
@told
def list_providers(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List training providers, those of installed plug-ins too."""
    from gateway_tuning.training.catalog import names

    if context.invoked_subcommand is None:
        show_table(["provider"], [[name] for name in names()], as_json=as_json)


@app.command("list")
@told
def list_models(on: On = None, *, as_json: AsJson = False) -> None:
    """List what is known of base models: until when they are tuned and served, and who says so."""
    from gateway_tuning.training.lifecycle.guard import rows
    from gateway_tuning.training.lifecycle.table import verdict

    today = _day(on)
    found = [(row, verdict(rows(), row.provider, row.model, today)) for row in rows()]
    if as_json:
        _put([{**asdict(row), **asdict(verdict_)} for row, verdict_ in found])
        return
    table = [
        [row.provider, row.model, verdict_.state, row.no_new_jobs_from, row.inference_ends_on, row.checked_on]
        for row, verdict_ in found
    ]
    show_table(["provider", "base model", "state", "no new jobs from", "serving ends", "checked"], table)


@app.command("check")
@told
def check(
    provider: Annotated[str | None, typer.Option(help="With --model: one that is not in use yet")] = None,
    model: Annotated[str | None, typer.Option(help="A base model")] = None,
    on: On = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Tell what ends of what is in use here. Ends with 1 when something of it has ended."""
    from gateway_tuning.errors import ConfigurationError
    from gateway_tuning.training.lifecycle.in_use import in_use
    from gateway_tuning.training.lifecycle.table import State, way_out

    if (provider is None) != (model is None):
        raise ConfigurationError("Give --provider and --model together, or neither to check what is in use")
    today = _day(on)
    if provider is not None and model is not None:
        uses = [_asked(provider, model, today)]
    else:
        uses = in_use(open_store(read_settings()), today=today)
    if as_json:
        _put([asdict(use) for use in uses])
    else:
        _show(uses)
    if any(use.found.state in {State.CLOSED, State.ENDING} for use in uses) and not as_json:
        typer.secho(way_out("supervised"), err=True)
    if any(use.found.state is State.CLOSED for use in uses):
        raise typer.Exit(1)


def _asked(provider: str, model: str, today: date) -> "Use":
    from gateway_tuning.training.lifecycle.guard import rows
    from gateway_tuning.training.lifecycle.in_use import Use
    from gateway_tuning.training.lifecycle.table import Purpose, verdict

    return Use(provider, model, Purpose.TUNE, "asked for", verdict(rows(), provider, model, today))


def _show(uses: "list[Use]") -> None:
    if not uses:
        typer.echo(
            "No base model is in use: there are no unfinished jobs and no tuned versions with an alias"
        )
        return
    rows: list[list[Any]] = [
        [use.found.state, use.provider, use.base_model, use.purpose, use.what, use.found.ends_on]
        for use in uses
    ]
    show_table(["state", "provider", "base model", "to", "in use by", "ends"], rows)
    for sentence in dict.fromkeys(use.found.told for use in uses):
        typer.echo(sentence)


def _day(on: datetime | None) -> date:
    return (on or now()).date()


def _put(rows: list[dict[str, Any]]) -> None:
    typer.echo(json.dumps(rows, default=str, ensure_ascii=False))
