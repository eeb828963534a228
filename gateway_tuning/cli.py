"""The command line. Each command imports what it needs, so that `--help` answers at once."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from gateway_tuning import __version__
from gateway_tuning.errors import ConfigurationError, GatewayTuningError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_show_locals=False,
    help="Turn users' feedback behind an LLM gateway into a better model, safely.",
)
feedback_app = typer.Typer(no_args_is_help=True, help="Users' feedback: bring it in, see what was set aside.")
cycles_app = typer.Typer(no_args_is_help=True, help="Passes through the tuning loop.")
canary_app = typer.Typer(no_args_is_help=True, help="Candidates on trial with real users.")
app.add_typer(feedback_app, name="feedback")
app.add_typer(cycles_app, name="cycles")
app.add_typer(canary_app, name="canary")

P = ParamSpec("P")
R = TypeVar("R")

Tenant = Annotated[str, typer.Option(help="Whose data")]


def told(command: Callable[P, R]) -> Callable[P, R]:
    """Our own errors are told in one line; anything else is a defect and keeps its trace."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except GatewayTuningError as error:
            typer.secho(str(error), fg="red", err=True)
            raise typer.Exit(1) from error

    return run


@app.command()
@told
def demo(
    feedback: Annotated[Path, typer.Argument(help="Feedback file or folder")] = Path(
        "examples/feedback.jsonl"
    ),
    mapping: Annotated[Path | None, typer.Option(help="Mapping of another export's fields, YAML")] = None,
    folder: Annotated[Path, typer.Option(help="Where results and state go")] = Path("var/demo"),
    max_steps: Annotated[int | None, typer.Option(help="Fewer training steps: quicker and weaker")] = None,
) -> None:
    """Take a feedback file through the whole loop, on this machine alone."""
    arguments = [str(feedback), "--folder", str(folder)]
    arguments += ["--mapping", str(mapping)] if mapping else []
    arguments += ["--max-steps", str(max_steps)] if max_steps else []
    _become("deployments.demo", arguments)


@app.command()
@told
def serve_flows(
    port: Annotated[
        int, typer.Option(help="Of Prefect's server and UI, where PREFECT_API_URL names none")
    ] = 4200,
    limit: Annotated[int, typer.Option(help="Runs at a time")] = 4,
) -> None:
    """Serve every flow as a Prefect deployment from one process."""
    _become("deployments.serve", ["--port", str(port), "--limit", str(limit)])


@app.command()
@told
def serve_gateway(
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on")] = 8080,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", hidden=True, help="Stop when standard input closes")
    ] = False,
) -> None:
    """Serve the OpenAI-compatible gateway: stable and canary versions behind one model name."""
    from gateway_tuning.gateway.serve import serve

    settings = _settings()
    serve(
        settings.resolved_database_url,
        host,
        port,
        settings.request_timeout_s,
        exit_with_parent=exit_with_parent,
    )


@app.command()
@told
def serve_local(model: Annotated[str, typer.Argument(help="Model behind the gateway")] = "assistant") -> None:
    """Serve a model's stable and candidate versions from this machine, and tell the gateway where they answer."""
    import signal

    from gateway_tuning.registry.store import Registry
    from gateway_tuning.serving import LOCAL_PROVIDER, open_endpoints
    from gateway_tuning.storage.object_store import ObjectStore

    settings = _settings()
    if settings.local_server_key is None:
        raise ConfigurationError(
            "Set GATEWAY_TUNING_LOCAL_SERVER_KEY to a secret of your own, here and for the gateway"
        )
    registry = Registry(_store(settings))
    named = [registry.get(version_id) for version_id in sorted(set(registry.aliases(model).values()))]
    versions = [version for version in named if version.provider == LOCAL_PROVIDER]
    if not versions:
        raise ConfigurationError(
            f"{model} has no local version as stable or candidate; run a tuning cycle first"
        )
    objects = ObjectStore(settings.resolved_object_storage_url)
    with open_endpoints(versions, registry=registry, objects=objects, settings=settings) as endpoints:
        for version_id, endpoint in endpoints.items():
            registry.set_endpoint(version_id, endpoint, now=_now())
            typer.echo(f"{version_id} at {endpoint.base_url}")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


@feedback_app.command("import")
@told
def import_feedback(
    path: Annotated[Path, typer.Argument(help="JSON, JSONL, CSV or Parquet file, or a folder of them")],
    mapping: Annotated[Path | None, typer.Option(help="Where the export keeps what, YAML")] = None,
    tenant: Tenant = "default",
) -> None:
    """Read, map, validate and store feedback. What is known already is not added again."""
    from gateway_tuning.feedback.importer import import_file
    from gateway_tuning.feedback.mapping import load_mapping
    from gateway_tuning.feedback.store import FeedbackStore

    store = FeedbackStore(_store(_settings()))
    report = import_file(path, load_mapping(mapping) if mapping else None, store, tenant=tenant, now=_now())
    _table(
        ["", "records"],
        [
            ["rows read", report.read],
            ["imported", report.imported],
            ["replaced by a later version", report.replaced],
            ["known already", report.duplicates],
            ["quarantined", report.quarantined],
            *([f"  {reason}", count] for reason, count in report.quarantined_by_reason.items()),
        ],
    )
    if report.expectations is not None:
        missed = [item for item in report.expectations["expectations"] if not item["success"]]
        typer.echo(f"Batch expectations: {len(missed)} of {len(report.expectations['expectations'])} not met")
        for item in missed:
            typer.echo(f"  {item['severity']}: {item['name']} {item['column'] or ''}: {item['observed']}")


@feedback_app.command("quarantine")
@told
def list_quarantine(
    tenant: Tenant = "default", limit: Annotated[int, typer.Option(help="Newest so many")] = 50
) -> None:
    """List the records that were set aside, with every reason."""
    from gateway_tuning.feedback.store import FeedbackStore

    found = FeedbackStore(_store(_settings())).list_quarantine(tenant, limit=limit)
    rows = [
        [
            row.entry.stage,
            f"{row.entry.source} {row.entry.position}",
            row.entry.feedback_id,
            "; ".join(row.entry.reasons),
        ]
        for row in found
    ]
    _table(["stage", "where", "id", "reasons"], rows)


@app.command("datasets")
@told
def list_datasets() -> None:
    """List datasets, oldest first."""
    from gateway_tuning.datasets.catalog import DatasetCatalog
    from gateway_tuning.storage.object_store import ObjectStore

    settings = _settings()
    catalog = DatasetCatalog(_store(settings), ObjectStore(settings.resolved_object_storage_url))
    rows = [
        [id_, at, *(sum(kinds.values()) for kinds in catalog.manifest(id_).counts.examples.values())]
        for id_, at in catalog.all()
    ]
    _table(["dataset", "created", "train", "validation", "test"], rows)


@app.command("jobs")
@told
def list_jobs() -> None:
    """List tuning jobs, oldest first."""
    from gateway_tuning.training.jobs import JobStore

    jobs = JobStore(_store(_settings())).all()
    rows = [[job.key[:12], job.spec.provider, job.spec.dataset_id, job.status, job.message] for job in jobs]
    _table(["job", "provider", "dataset", "status", "message"], rows)


@app.command("models")
@told
def list_models() -> None:
    """List model versions and the aliases that name them."""
    from gateway_tuning.registry.store import Registry

    registry = Registry(_store(_settings()))
    versions = registry.versions()
    named = {model: registry.aliases(model) for model in {version.model for version in versions}}
    rows = [
        [
            version.id,
            ", ".join(alias for alias, id_ in named[version.model].items() if id_ == version.id),
            version.base_model,
            version.dataset_id,
            version.created_at,
        ]
        for version in versions
    ]
    _table(["version", "aliases", "base model", "dataset", "created"], rows)


@app.command("providers")
@told
def list_providers() -> None:
    """List training providers, those of installed plug-ins too."""
    from gateway_tuning.training.catalog import names

    _table(["provider"], [[name] for name in names()])


@cycles_app.command("list")
@told
def list_cycles() -> None:
    """List tuning cycles, oldest first."""
    from gateway_tuning.cycles.store import CycleStore

    cycles = CycleStore(_store(_settings())).all()
    rows = [
        [cycle.id, cycle.model, cycle.status, cycle.outcome, "; ".join(cycle.reasons)] for cycle in cycles
    ]
    _table(["cycle", "model", "status", "outcome", "reasons"], rows)


@cycles_app.command("show")
@told
def show_cycle(cycle_id: str) -> None:
    """Show what each stage of a cycle left."""
    from gateway_tuning.cycles.store import CycleStore

    store = CycleStore(_store(_settings()))
    store.get(cycle_id)
    rows = [
        [stage.stage, stage.result.id, f"{stage.seconds:.1f}", stage.finished_at]
        for stage in store.stages(cycle_id).values()
    ]
    _table(["stage", "result", "seconds", "finished"], rows)


@cycles_app.command("abandon")
@told
def abandon_cycle(cycle_id: str) -> None:
    """Give up an unfinished cycle, so that another plan can run."""
    from gateway_tuning.cycles.cycle import CycleOutcome
    from gateway_tuning.cycles.store import CycleStore

    store = CycleStore(_store(_settings()))
    store.get(cycle_id)
    ended = store.finish(cycle_id, CycleOutcome.ABANDONED, ("abandoned by hand",), now=_now())
    typer.echo(f"{ended.id}: {ended.outcome}")


@canary_app.command("status")
@told
def canary_status(
    model: Annotated[str | None, typer.Argument(help="All models when left out")] = None,
) -> None:
    """Show running canaries and their last look."""
    from gateway_tuning.rollout.canary_store import CanaryStore

    store = CanaryStore(_store(_settings()))
    for canary in store.running(model):
        looks = store.looks(canary.id)
        typer.echo(f"{canary.id}: {canary.candidate} against {canary.control}, {canary.share:.0%} of users")
        for reason in looks[-1].reasons if looks else ["not looked at yet"]:
            typer.echo(f"  {reason}")


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _become(module: str, arguments: Sequence[str]) -> None:
    """Go on as a program of the project's folder: flows import this package, never the other way round."""
    root = Path.cwd()
    if not (root / Path(*module.split("."))).with_suffix(".py").exists():
        raise ConfigurationError(
            f"There is no {module} in {root}. Run this in the project's folder, where flows/ and prefect.yaml lie"
        )
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell is wanted


def _settings() -> "Settings":
    from gateway_tuning.settings import Settings

    return Settings()


def _store(settings: "Settings") -> "sa.Engine":
    from gateway_tuning.storage.database import open_database

    return open_database(settings.resolved_database_url)


def _now() -> datetime:
    return datetime.now(UTC)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, header_style="dim")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    Console(highlight=False).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)


if __name__ == "__main__":
    app()
