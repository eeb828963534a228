"""`gateway-tuning datasets show, card, diff, lineage`: a dataset as an object."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway_tuning.cli.console import AsJson, Tenant, put_file, show_table, told
from gateway_tuning.cli.dataset_stores import DatasetId, open_stores
from gateway_tuning.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway_tuning.datasets.difference import Difference
    from gateway_tuning.datasets.lineage import DatasetLineage, InDataset, Trained

SHOWN = 100  # rows of a table that may be long; --json gives all

app = typer.Typer()


@app.command("show")
@told
def show(dataset_id: DatasetId, *, as_json: AsJson = False) -> None:
    """Say what a dataset is and what became of it; also of one that is gone."""
    from gateway_tuning.datasets.lineage import of_dataset

    found = of_dataset(open_stores().engine, dataset_id)
    if as_json:
        _put_json([found])
        return
    _show_dataset(found)


@app.command("card")
@told
def write_card(
    dataset_id: DatasetId,
    html: Annotated[Path | None, typer.Option(help="Write a page that needs nothing else to this file")] = None,
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown to standard output, the default")] = False,
) -> None:  # fmt: skip
    """Write the card: what is in it, with plots, what was left out, and where it comes from."""
    from gateway_tuning.datasets.card import card
    from gateway_tuning.datasets.describing.page import render_html, render_markdown
    from gateway_tuning.datasets.lineage import of_dataset
    from gateway_tuning.datasets.published import read_parts
    from gateway_tuning.datasets.splits import SPLITS
    from gateway_tuning.feedback.language import LanguageDetector

    if html is not None and markdown:
        raise ConfigurationError("A card is written as --html FILE or as --markdown; give one of them")
    stores = open_stores()
    manifest = stores.manifest(dataset_id)
    made = card(
        manifest,
        (part for split in SPLITS for part in read_parts(stores.objects, manifest, split)),
        language_of=LanguageDetector().language_of,
        lineage=of_dataset(stores.engine, dataset_id),
    )
    if html is None:
        typer.echo(render_markdown(made), nl=False)
        return
    put_file(html, render_html(made))
    typer.echo(f"The card of {dataset_id} is in {html}", err=True)


@app.command("diff")
@told
def show_difference(
    before: Annotated[str, typer.Argument(help="The earlier dataset")],
    after: Annotated[str, typer.Argument(help="The later one")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say what changed: recipe, counts, examples that came, went or moved between splits and why, feedback."""
    from gateway_tuning.datasets.difference import difference

    stores = open_stores()
    found = difference(stores.objects, stores.manifest(before), stores.manifest(after), engine=stores.engine)
    if as_json:
        _put_json([found])
        return
    _show_difference(found)


@app.command("lineage")
@told
def show_lineage(
    feedback: Annotated[str | None, typer.Option(help="Id of a feedback record: what was made of it")] = None,
    model: Annotated[str | None, typer.Option(help="Id of a model version: what it learned from")] = None,
    dataset: Annotated[str | None, typer.Option(help="Id of a dataset: both ways")] = None,
    tenant: Tenant = "default",
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines: what was asked for, then each example")
    ] = False,
) -> None:
    """Follow feedback to examples, datasets and models, or a model back to the feedback it learned from."""
    from gateway_tuning.datasets import lineage

    asked = [value for value in (feedback, model, dataset) if value is not None]
    if len(asked) != 1:
        raise ConfigurationError("Lineage is of one thing; give --feedback, --model or --dataset")
    stores = open_stores()
    if feedback is not None:
        found = lineage.of_feedback(stores.engine, stores.objects, feedback, tenant=tenant)
        if as_json:
            _put_json([found])
            return
        typer.echo(f"{feedback}: {found.receipt.state}, in {len(found.datasets)} datasets")
        show_table(
            ["dataset", "state", "used", "examples", "models", "note"],
            [_feedback_row(one) for one in found.datasets],
        )
        return
    trained = None if model is None else lineage.of_model(stores.engine, model, tenant=tenant)
    of = lineage.of_dataset(stores.engine, asked[0], tenant=tenant) if trained is None else trained.dataset
    living = of is not None and of.state is lineage.State.LIVING
    traces = lineage.traces(stores.objects, stores.manifest(of.dataset_id)) if of and living else iter(())
    if as_json:
        _put_json([trained or of])
        _put_json(traces)
        return
    if trained is not None:
        erased = _erased(trained.holds_erased_since)
        typer.echo(f"{trained.version_id} of {trained.base_model}{erased}")
    if of is None:
        typer.echo("It was not trained here, so no feedback is known to be in it")
        return
    _show_dataset(of)
    _show_some(
        ["example", "split", "kind", "feedback"],
        ([one.example_id, one.split, one.kind, " ".join(one.feedback_ids)] for one in traces),
    )


def _show_dataset(found: "DatasetLineage") -> None:
    left = "" if found.successor is None else f"; {found.successor} holds the rest"
    typer.echo(f"{found.dataset_id} {found.told or 'stands'}{left}")
    show_table(
        ["", ""],
        [
            ["tenant", found.tenant],
            ["created", found.created_at],
            ["replaces", ", ".join(found.predecessors) or None],
            ["feedback used", "unknown" if found.used is None else found.used],
            ["feedback left out", "unknown" if found.left_out is None else found.left_out],
            ["users in it", "unknown" if found.subjects is None else found.subjects],
            ["model versions", _models(found.models)],
            ["evaluations", ", ".join(found.evaluations) or None],
            ["drift reports", ", ".join(found.drift_reports) or None],
        ],
    )


def _show_difference(found: "Difference") -> None:
    changes = [[one.name, one.before, one.after] for one in (*found.made, *found.counts)]
    show_table(["", found.before, found.after], changes)
    typer.echo("")
    show_table(
        ["examples", "stayed", "added", "removed", "moved in", "moved out"],
        [[s.split, s.stayed, s.added, s.removed, s.moved_in, s.moved_out] for s in found.splits],
    )
    for move in found.moves:
        ids = ", ".join(move.ids[:3])
        typer.echo(f"{move.count} from {move.source} to {move.target}, as {move.reason}: {ids}")
    if found.feedback is None:
        typer.echo("feedback: unknown, as one of them is from before lineage was kept")
        return
    typer.echo(f"feedback: {found.feedback.added} records added, {found.feedback.removed} removed")


def _feedback_row(one: "InDataset") -> list[Any]:
    examples = (
        "gone"
        if one.examples is None
        else " ".join(f"{t.split}:{t.example_id}" for t in one.examples) or None
    )
    note = one.dataset.told or one.reason
    return [
        one.dataset.dataset_id, one.dataset.state.value, "yes" if one.used else "no", examples, _models(one.models), note
    ]  # fmt: skip


def _models(trained: "Iterable[Trained]") -> str | None:
    return ", ".join(f"{one.version_id}{_erased(one.holds_erased_since)}" for one in trained) or None


def _erased(since: Any) -> str:
    return "" if since is None else f" (holds data of a person erased on {since:%Y-%m-%d})"


def _show_some(columns: list[str], rows: "Iterator[list[Any]]") -> None:
    shown = [row for row, _ in zip(rows, range(SHOWN), strict=False)]
    show_table(columns, shown)
    more = sum(1 for _ in rows)
    if more:
        typer.echo(f"and {more} more; --json gives all")


def _put_json(values: Iterable[Any]) -> None:
    import orjson

    for value in values:
        sys.stdout.write(orjson.dumps(value).decode() + "\n")
