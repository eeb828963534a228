"""Commands that show what the store knows, and end what should not go on."""

from typing import Annotated

import typer

from gateway_tuning.cli.console import Tenant, now, open_store, read_settings, show_table, told
from gateway_tuning.errors import ConfigurationError

app = typer.Typer()
jobs_app = typer.Typer(no_args_is_help=True, help="Tuning jobs at their providers.")
cycles_app = typer.Typer(no_args_is_help=True, help="Passes through the tuning loop.")
models_app = typer.Typer(help="Model versions, and when models are tuned again.")
canary_app = typer.Typer(no_args_is_help=True, help="Candidates on trial with real users.")
app.add_typer(jobs_app, name="jobs")
app.add_typer(cycles_app, name="cycles")
app.add_typer(canary_app, name="canary")
app.add_typer(models_app, name="models")


@jobs_app.command("list")
@told
def list_jobs() -> None:
    """List tuning jobs, oldest first."""
    from gateway_tuning.training.jobs import JobStore

    jobs = JobStore(open_store(read_settings())).all()
    rows = [[job.key[:12], job.spec.provider, job.spec.dataset_id, job.status, job.message] for job in jobs]
    show_table(["job", "provider", "dataset", "status", "message"], rows)


@jobs_app.command("cancel")
@told
def cancel_job(key: Annotated[str, typer.Argument(help="The job, or how its key begins")]) -> None:
    """Ask the provider to stop a job. It ends as cancelled and is not started again."""
    from gateway_tuning.training import catalog
    from gateway_tuning.training.jobs import JobStore

    settings = read_settings()
    found = [job for job in JobStore(open_store(settings)).all() if job.key.startswith(key)]
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found)} jobs begin with {key!r}; `gateway-tuning jobs list` shows all"
        )
    job = found[0]
    if job.provider_job_id is None:
        raise ConfigurationError(
            f"Job {job.key[:12]} was never accepted by {job.spec.provider}; nothing to cancel"
        )
    catalog.provider(job.spec.provider, settings).cancel(job.provider_job_id)
    typer.echo(f"{job.spec.provider} was asked to cancel {job.key[:12]}")


@models_app.callback(invoke_without_command=True)
@told
def list_models(context: typer.Context) -> None:
    """List model versions and the aliases that name them."""
    from gateway_tuning.registry.store import Registry

    if context.invoked_subcommand is not None:
        return
    registry = Registry(open_store(read_settings()))
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
    show_table(["version", "aliases", "base model", "dataset", "created"], rows)


@models_app.command("threshold")
@told
def model_threshold(
    name: Annotated[str, typer.Argument(help="Model behind the gateway; a free name becomes the tenant's")],
    count: Annotated[int | None, typer.Option(min=1, help="New records that start a cycle")] = None,
    hours: Annotated[float | None, typer.Option(min=0.01, help="They must have come within")] = None,
    tenant: Tenant = "default",
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
    whose = "the default" if found.is_default else "its own"
    typer.echo(f"{name}: {found.count} new records within {found.hours:g} hours ({whose})")


@app.command("providers")
@told
def list_providers() -> None:
    """List training providers, those of installed plug-ins too."""
    from gateway_tuning.training.catalog import names

    show_table(["provider"], [[name] for name in names()])


@cycles_app.command("list")
@told
def list_cycles() -> None:
    """List tuning cycles, oldest first."""
    from gateway_tuning.cycles.store import CycleStore

    cycles = CycleStore(open_store(read_settings())).all()
    rows = [
        [cycle.id, cycle.model, cycle.status, cycle.outcome, "; ".join(cycle.reasons)] for cycle in cycles
    ]
    show_table(["cycle", "model", "status", "outcome", "reasons"], rows)


@cycles_app.command("show")
@told
def show_cycle(cycle_id: str) -> None:
    """Show what each stage of a cycle left."""
    from gateway_tuning.cycles.store import CycleStore

    store = CycleStore(open_store(read_settings()))
    store.get(cycle_id)
    rows = [
        [stage.stage, stage.result.id, f"{stage.seconds:.1f}", stage.finished_at]
        for stage in store.stages(cycle_id).values()
    ]
    show_table(["stage", "result", "seconds", "finished"], rows)


@cycles_app.command("abandon")
@told
def abandon_cycle(cycle_id: str) -> None:
    """Give up an unfinished cycle, so that another plan can run."""
    from gateway_tuning.cycles.cycle import CycleOutcome
    from gateway_tuning.cycles.store import CycleStore

    store = CycleStore(open_store(read_settings()))
    store.get(cycle_id)
    ended = store.finish(cycle_id, CycleOutcome.ABANDONED, ("abandoned by hand",), now=now())
    typer.echo(f"{ended.id}: {ended.outcome}")


@canary_app.command("status")
@told
def canary_status(
    model: Annotated[str | None, typer.Argument(help="All models when left out")] = None,
) -> None:
    """Show running canaries and their last look."""
    from gateway_tuning.rollout.canary_store import CanaryStore

    store = CanaryStore(open_store(read_settings()))
    for canary in store.running(model):
        looks = store.looks(canary.id)
        typer.echo(f"{canary.id}: {canary.candidate} against {canary.control}, {canary.share:.0%} of users")
        for reason in looks[-1].reasons if looks else ["not looked at yet"]:
            typer.echo(f"  {reason}")
