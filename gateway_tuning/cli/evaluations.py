"""`gateway-tuning evaluations`: how candidates compared, one by one and over the history of a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import AsJson, open_store, put_file, put_json, read_settings, show_table, told
from gateway_tuning.errors import NotFoundError

if TYPE_CHECKING:
    from gateway_tuning.evaluation.history import Past

REPORT = "report.html"

app = typer.Typer(help="How candidates compared with the stable version.")

EvaluationId = Annotated[
    str,
    typer.Argument(
        autocompletion=ids("evaluation_id"), help="The evaluation, as `evaluations list` shows it"
    ),
]
Html = Annotated[Path | None, typer.Option(help="Write a page that needs nothing else to this file")]


@app.callback(invoke_without_command=True)
@told
def evaluations(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List evaluations, oldest first."""
    if context.invoked_subcommand is None:
        _list(None, as_json=as_json)


@app.command("list")
@told
def list_evaluations(
    model: Annotated[str | None, typer.Argument(help="All models when left out")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List evaluations, oldest first."""
    _list(model, as_json=as_json)


@app.command("show")
@told
def show(
    evaluation_id: EvaluationId,
    html: Html = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, samples too")] = False,
) -> None:
    """Say how a candidate compared: the verdict, what is not known, every metric; as a page with --html."""
    import orjson

    from gateway_tuning.evaluation.reporting.markdown import render_markdown
    from gateway_tuning.evaluation.result import read_result
    from gateway_tuning.evaluation.store import EvaluationStore

    engine = open_store(read_settings())
    stored = EvaluationStore(engine).get(evaluation_id)
    if as_json:
        typer.echo(orjson.dumps(stored.result).decode())
    elif html is None:
        title = f"{stored.candidate} against {stored.baseline}"
        typer.echo(render_markdown(read_result(stored.result), title=title), nl=False)
    if html is not None:
        put_file(html, _page(evaluation_id))
        typer.echo(f"The report of {evaluation_id} is in {html}", err=True)


@app.command("history")
@told
def history(
    model: Annotated[str, typer.Argument(help="Model behind the gateway")],
    html: Html = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Compare the candidates of a model, one after the other, each with the version that was stable then."""
    from gateway_tuning.evaluation.history import past_evaluations
    from gateway_tuning.evaluation.reporting.past import past_rows, render_history_html, text_bars

    past = past_evaluations(open_store(read_settings()), model)
    if not past:
        raise NotFoundError(f"No candidate of {model} was evaluated; `gateway-tuning evaluations` lists all")
    if html is not None:
        put_file(html, render_history_html(model, past))
        typer.echo(f"The candidates of {model} are in {html}", err=True)
        return
    if as_json:
        put_json(past)
        return
    show_table(
        ["candidate", "finding", "difference", "interval", "less │ more", "decided by", "created"],
        [
            [row.candidate, row.finding, row.difference, row.interval, bar, row.metric, row.created]
            for row, bar in zip(past_rows(past), text_bars(past), strict=True)
        ],
    )


def _list(model: str | None, *, as_json: bool) -> None:
    from gateway_tuning.evaluation.history import past_evaluations
    from gateway_tuning.evaluation.reporting.past import past_row

    def row(one: "Past") -> list[str]:
        said = past_row(one)
        return [
            one.evaluation_id,
            one.model,
            one.candidate,
            one.stable,
            said.finding,
            said.difference,
            said.created,
        ]

    show_table(
        ["evaluation", "model", "candidate", "against", "finding", "difference", "created"],
        map(row, past_evaluations(open_store(read_settings()), model)),
        as_json=as_json,
    )


def _page(evaluation_id: str) -> str:
    """As it was written when the evaluation ended, or the gate decided on it.

    Raises:
        NotFoundError: it is gone, as is what it quoted.
    """
    from gateway_tuning.storage import layout
    from gateway_tuning.storage.object_store import ObjectStore

    objects, key = ObjectStore.from_settings(read_settings()), layout.evaluation_file(evaluation_id, REPORT)
    if not objects.exists(key):
        raise NotFoundError(
            f"The report of {evaluation_id} is gone: its dataset was erased or deleted. "
            f"`gateway-tuning evaluations show {evaluation_id}` has the figures"
        )
    return objects.read(key).decode()
