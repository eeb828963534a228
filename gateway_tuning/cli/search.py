"""Search for hyperparameters: begin, look, go on."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import (
    AsJson,
    Shown,
    now,
    open_store,
    put_json,
    read_settings,
    show_table,
    told,
)
from gateway_tuning.cli.running import become
from gateway_tuning.errors import ConfigurationError, InputFileError, NotFoundError

if TYPE_CHECKING:
    from gateway_tuning.training.search.plan import SearchPlan
    from gateway_tuning.training.search.store import SearchStore
    from gateway_tuning.training.search.trial import Search

app = typer.Typer(no_args_is_help=True, help="Hyperparameters under a budget, held against the defaults.")

Id = Annotated[str, typer.Argument(autocompletion=ids("search"), help="The search, or how its id begins")]


@app.command("start")
@told
def start_search(
    dataset: Annotated[str, typer.Argument(help="Dataset to train on")],
    plan: Annotated[Path, typer.Argument(help="Space, training, objective and budget, YAML")],
    *,
    trials: Annotated[int | None, typer.Option(min=1, help="Jobs, the default's among them")] = None,
    hours: Annotated[float | None, typer.Option(help="Then running trials are stopped")] = None,
    money: Annotated[str | None, typer.Option(help="In the currency of the plan's budget")] = None,
    parallel: Annotated[int | None, typer.Option(min=1, help="Trials at a time")] = None,
) -> None:
    """Begin a search and carry it to its end. The same search is begun once: a second start goes on with it."""
    from gateway_tuning.datasets.catalog import DatasetCatalog
    from gateway_tuning.storage.object_store import ObjectStore
    from gateway_tuning.training.search import checking

    chosen = {"trials": trials, "hours": hours, "money": money}
    budget = {name: value for name, value in chosen.items() if value is not None}
    wanted = _plan(plan, budget, parallel)
    checking.check(wanted)
    settings = read_settings()
    engine = open_store(settings)
    manifest = DatasetCatalog(engine, ObjectStore.from_settings(settings)).manifest(dataset)
    search = _store_of(engine).open(dataset, wanted, tenant=manifest.tenant, now=now())
    typer.echo(
        f"Search {search.id}; to go on after an interruption: gateway-tuning search resume {search.id}"
    )
    engine.dispose()
    become("deployments.search", [search.id])


@app.command("resume")
@told
def resume_search(search: Id) -> None:
    """Go on with a search whose run is gone. Trials that were under way are continued, none is done again."""
    engine = open_store(read_settings())
    found = _named(_store_of(engine), search)
    engine.dispose()
    if found.finished_at is not None:
        typer.echo(
            f"{found.id} has ended: {found.ended_by}. A larger budget makes a new search of the same jobs"
        )
        return
    become("deployments.search", [found.id])


@app.command("list")
@told
def list_searches(*, as_json: AsJson = False) -> None:
    """List searches, oldest first."""
    _list(_store_of(open_store(read_settings())), as_json=as_json)


@app.command("show")
@told
def show_searches(
    search: Annotated[
        str | None, typer.Argument(help="The search, or how its id begins; all when absent")
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="Print the training plan to go on with, as JSON")
    ] = False,
    *,
    as_json: AsJson = False,
) -> None:
    """List the searches, or show the trials and the verdict of one."""
    from gateway_tuning.training.search import report

    store = _store_of(open_store(read_settings()))
    if search is None:
        _list(store, as_json=as_json)
        return
    found = _named(store, search)
    if training:
        if found.result is None:
            raise ConfigurationError(f"{found.id} has not ended; gateway-tuning search resume {found.id}")
        typer.echo(json.dumps(found.result["training"], indent=2))
        return
    if as_json:
        put_json({"search": found, "trials": store.trials(found.id)})
        return
    show_table(list(report.COLUMNS), report.rows(found, store.trials(found.id)))
    typer.echo(report.verdict(found))


def _list(store: "SearchStore", *, as_json: bool) -> None:
    rows = [
        [one.id, one.dataset_id, one.created_at, Shown(one.ended_by, one.ended_by or "under way")]
        for one in store.all()
    ]
    show_table(["search", "dataset", "begun", "ended by"], rows, as_json=as_json)


def _store_of(engine: Any) -> "SearchStore":
    from gateway_tuning.training.search.store import SearchStore

    return SearchStore(engine)


def _named(store: "SearchStore", beginning: str) -> "Search":
    found = store.named(beginning)
    if len(found) != 1:
        raise NotFoundError(
            f"{len(found) or 'No'} searches begin with {beginning}; `gateway-tuning search list` shows all"
        )
    return found[0]


def _plan(path: Path, budget: dict[str, Any], parallel: int | None) -> "SearchPlan":
    import yaml
    from pydantic import ValidationError

    from gateway_tuning.training.search.plan import SearchPlan

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputFileError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputFileError(f"{path} is no plan; see docs/how-to/search-hyperparameters.md for one")
    if budget:
        content["budget"] = (content.get("budget") or {}) | budget
    if parallel is not None:
        content["parallel"] = parallel
    try:
        return SearchPlan.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'plan'}: {item['msg']}" for item in error.errors()
        )
        raise ConfigurationError(f"{path}: {problems}") from None
