"""Model versions: what there is, what each is, which one serves users, and when models are tuned again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway_tuning.cli import model_endpoints, thresholds
from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import (
    AsJson,
    actor,
    now,
    open_store,
    put_file,
    read_settings,
    show_table,
    told,
)
from gateway_tuning.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.registry.aliases import Unchecked
    from gateway_tuning.registry.model_version import ModelVersion
    from gateway_tuning.registry.protocol import ModelRegistry

NOTHING = "nothing"  # what an alias names that is not there

app = typer.Typer(help="Model versions, and when models are tuned again.")
app.command("threshold")(thresholds.threshold)

app.command("endpoint")(model_endpoints.endpoint)

VersionId = Annotated[
    str, typer.Argument(autocompletion=ids("version_id"), help="The version, as `models list` shows it")
]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the history")]
In = Annotated[str, typer.Option("--in", help="The registry: store, or mlflow")]


@app.callback(invoke_without_command=True)
@told
def models(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List model versions and the aliases that name them."""
    if context.invoked_subcommand is None:
        _list(None, "store", as_json=as_json)


@app.command("list")
@told
def list_versions(
    model: Annotated[str | None, typer.Argument(help="All models when left out")] = None,
    registry: In = "store",
    *,
    as_json: AsJson = False,
) -> None:
    """List model versions, oldest first."""
    _list(model, registry, as_json=as_json)


@app.command("show")
@told
def show_version(
    version_id: VersionId,
    registry: In = "store",
    *,
    as_json: AsJson = False,
) -> None:
    """Say what a version is, which files it has, and how it came to its status."""
    import orjson

    versions = _registry(registry)
    version = versions.get(version_id)
    changes = versions.status_changes(version_id)
    names = [alias for alias, id_ in versions.aliases(version.model).items() if id_ == version_id]
    if as_json:
        found = {"version": version, "aliases": sorted(names), "statuses": changes}
        typer.echo(orjson.dumps(found).decode())
        return
    rows: list[list[Any]] = [
        ["model", version.model],
        ["status", f"{version.status}, revision {version.revision}"],
        ["aliases", ", ".join(sorted(names)) or None],
        ["base model", version.base_model],
        ["provider", version.provider],
        ["served as", version.served_model],
        ["dataset", version.dataset_id],
        ["job", version.job_key],
        ["trained from", ", ".join(version.parents) or None],
        ["code", "unknown" if version.code is None else str(version.code)],
        ["metrics", json.dumps(version.metrics)],
        ["hyperparameters", json.dumps(version.hyperparameters)],
    ]
    typer.echo(version.id)
    show_table(["", ""], rows)
    if version.files:
        typer.echo("")
        files = sorted(version.files.items())
        show_table(["file", "bytes", "sha256"], [[name, file.bytes, file.sha256] for name, file in files])
    typer.echo("")
    show_table(
        ["at", "from", "to", "by", "reason"],
        [[one.at, one.before, one.status, one.by, one.reason] for one in changes],
    )


@app.command("card")
@told
def write_card(
    version_id: VersionId,
    html: Annotated[Path | None, typer.Option(help="Write a page that needs nothing else to this file")] = None,
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown to standard output, the default")] = False,
) -> None:  # fmt: skip
    """Write the card: data, training, evaluation, trials, lineage, cost, files, limitations and history."""
    from gateway_tuning.registry.card import model_card
    from gateway_tuning.registry.card_page import render_html, render_markdown
    from gateway_tuning.storage.object_store import ObjectStore

    if html is not None and markdown:
        raise ConfigurationError("A card is written as --html FILE or as --markdown; give one of them")
    settings = read_settings()
    card = model_card(open_store(settings), ObjectStore.from_settings(settings), version_id)
    if html is None:
        typer.echo(render_markdown(card), nl=False)
        return
    put_file(html, render_html(card))
    typer.echo(f"The card of {version_id} is in {html}", err=True)


@app.command("archive")
@told
def archive(
    version_id: VersionId,
    reason: Reason,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Make an archived version available again")] = False,
) -> None:
    """Set a version aside: no alias may name it any more. Its files stay."""
    from gateway_tuning.registry.statuses import ModelStatus
    from gateway_tuning.registry.store import Registry

    engine, at = open_store(read_settings()), now()
    registry = Registry(engine)
    before = registry.get(version_id)
    wanted = ModelStatus.AVAILABLE if undo else ModelStatus.ARCHIVED
    if undo and before.status is not ModelStatus.ARCHIVED:
        raise ConfigurationError(f"{version_id} is {before.status}, not archived; there is nothing to undo")
    after = registry.change_status(
        version_id, wanted, reason=reason, now=at, by=actor(), expected_revision=before.revision
    )
    detail = {"from": before.status.value, "to": after.status.value}
    _audit(engine, after.tenant, "model_version.status", version_id, detail)
    typer.echo(f"{version_id} is {after.status}")


@app.command("alias")
@told
def alias(
    model: Annotated[str, typer.Argument(help="Model behind the gateway")],
    name: Annotated[str | None, typer.Argument(help="stable, candidate, or staging/stable")] = None,
    version_id: Annotated[str | None, typer.Argument(help="The version that it shall name")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept in the history")] = None,
    expect: Annotated[
        str | None, typer.Option(help=f"Refuse unless the alias names this version, or `{NOTHING}`")
    ] = None,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Take the alias away")] = False,
) -> None:
    """Show where aliases point and how they came there; or let one name a version, or none."""
    from gateway_tuning.registry.aliases import AliasName
    from gateway_tuning.registry.store import Registry

    engine = open_store(read_settings())
    registry = Registry(engine)
    known = registry.aliases(model)
    alias_name = None if name is None else str(AliasName.parse(name))
    if version_id is None and not remove:
        _show_aliases(registry, model, alias_name)
        return
    if alias_name is None or (version_id is not None and remove):
        raise ConfigurationError("Give an alias and the version that it shall name, or an alias and --remove")
    if not reason:
        raise ConfigurationError("An alias moves for a reason; say it with --reason TEXT")
    if version_id is not None:
        registry.candidate(version_id)  # raises ErasedError
    elif alias_name not in known:
        raise ConfigurationError(f"{model} has no alias {alias_name}; `gateway-tuning models alias {model}`")
    tenant = registry.get(version_id or known[alias_name]).tenant
    expected = _expected(expect, known.get(alias_name))
    at = now()
    registry.point(model, alias_name, version_id, reason=reason, now=at, by=actor(), expected=expected)
    detail = {"alias": alias_name, "from": known.get(alias_name), "to": version_id}
    _audit(engine, tenant, "model.alias", model, detail)
    typer.echo(f"{model} {alias_name} names {version_id or NOTHING}")


@app.command("mirror")
@told
def mirror_model(
    model: Annotated[str, typer.Argument(help="Model behind the gateway")],
    *,
    copy_files: Annotated[
        bool,
        typer.Option(
            "--copy-files", help="Upload the files of new versions too, instead of naming where they lie"
        ),
    ] = False,
) -> None:
    """Bring MLflow's versions, statuses and aliases of a model to what the store has."""
    from gateway_tuning.registry.mirror import mirror
    from gateway_tuning.registry.mlflow.registry import open_registry
    from gateway_tuning.registry.store import Registry

    settings = read_settings()
    engine = open_store(settings)
    target = open_registry(settings, engine, copy_files=copy_files)
    done = mirror(model, Registry(engine), target, now=now(), by=actor())
    typer.echo(
        f"{model} in MLflow: {done.registered} versions registered, {done.statuses} statuses changed, "
        f"{done.aliases} aliases moved"
    )


def _list(model: str | None, name: str, *, as_json: bool) -> None:
    registry = _registry(name)
    versions = registry.versions(model)
    named = {model: registry.aliases(model) for model in {version.model for version in versions}}

    def row(version: "ModelVersion") -> list[Any]:
        names = sorted(alias for alias, id_ in named[version.model].items() if id_ == version.id)
        return [
            version.id,
            version.status.value,
            ", ".join(names),
            version.base_model,
            version.dataset_id,
            version.created_at,
        ]

    columns = ["version", "status", "aliases", "base model", "dataset", "created"]
    show_table(columns, map(row, versions), as_json=as_json)


def _show_aliases(registry: "ModelRegistry", model: str, only: str | None) -> None:
    shown = {name: id_ for name, id_ in registry.aliases(model).items() if only in {None, name}}
    show_table(["alias", "version"], sorted(shown.items()))
    typer.echo("")
    moves = [move for move in registry.alias_changes(model) if only in {None, move.alias}]
    show_table(
        ["at", "alias", "version", "by", "reason"],
        [[move.at, move.alias, move.version_id or NOTHING, move.by, move.reason] for move in moves],
    )


def _registry(name: str) -> "ModelRegistry":
    from gateway_tuning.registry import catalog

    settings = read_settings()
    return catalog.registry(name, settings, open_store(settings))


def _expected(said: str | None, seen: str | None) -> "str | Unchecked | None":
    """What nobody said is what was seen when the command began."""
    if said is None:
        return seen
    return None if said == NOTHING else said


def _audit(engine: "sa.Engine", tenant: str, action: str, object_id: str, detail: dict[str, Any]) -> None:
    from gateway_tuning.access.audit import AuditEvent, AuditLog

    AuditLog(engine).append(AuditEvent(tenant, actor(), action, object_id, detail=detail), now=now())
