"""Tuning jobs at their providers: how they stand, and their end."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli.console import actor, open_store, read_settings, show_table, told
from gateway_tuning.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway_tuning.training.job import ProviderJob
    from gateway_tuning.training.jobs import JobStore, TuningJob
    from gateway_tuning.training.watching.limits import Verdict
    from gateway_tuning.training.watching.reconciling import Reconciler

app = typer.Typer(no_args_is_help=True, help="Tuning jobs at their providers.")

Key = Annotated[str, typer.Argument(help="The job, or how its key begins")]


@app.command("list")
@told
def list_jobs(
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Only those that have not ended")] = False,
) -> None:
    """List tuning jobs, oldest first."""
    from gateway_tuning.training.jobs import JobStore

    store = JobStore(open_store(read_settings()))
    rows = [
        [job.key[:12], job.spec.provider, job.spec.dataset_id, job.status, _progress(job), _message(job)]
        for job in (store.unfinished() if unfinished else store.all())
    ]
    show_table(["job", "provider", "dataset", "status", "progress", "message"], rows)


@app.command("cancel")
@told
def cancel_job(key: Key) -> None:
    """Have the provider stop a job. It ends as cancelled once the provider says so, and is not started again."""
    from gateway_tuning.training.watching.reconciling import Found
    from gateway_tuning.training.watching.stopping import stop

    reconciler = _reconciler()
    job = _named(reconciler.jobs, key)
    if job.status.is_terminal:
        typer.echo(f"{job.key[:12]} has ended: {job.status}")
        return
    found = stop(reconciler, job.key, reason=f"cancelled by {actor()}")
    if found.job.status.is_terminal:
        typer.echo(f"{job.key[:12]} has ended: {found.job.status}")
    elif found.found is Found.UNKNOWN or found.job.provider_job_id is None:
        typer.echo(
            f"{job.key[:12]} is marked to be cancelled; {job.spec.provider} was not reached: {found.message}"
        )
    else:
        typer.echo(
            f"{job.spec.provider} was asked to cancel {job.key[:12]}; `gateway-tuning jobs list` shows its end"
        )


@app.command("reconcile")
@told
def reconcile_jobs() -> None:
    """Look once at every job that no run carries: adopt it, end it, pass on what should stop."""
    from gateway_tuning.training.job import JobStatus
    from gateway_tuning.training.watching.reconciling import Reconciled

    reconciler = _reconciler()

    def row(one: Reconciled) -> list[str | JobStatus | None]:
        return [one.job.key[:12], one.job.spec.provider, one.job.status, one.found, one.message]

    show_table(["job", "provider", "status", "found", "message"], map(row, reconciler.all()))
    for name in sorted({job.spec.provider for job in reconciler.jobs.all()}):
        for orphan in reconciler.orphans([name]):
            done = "asked to stop" if orphan.stopped else "left alone"
            typer.echo(f"{name} has job {orphan.job_id} (key {orphan.key[:12]}): {orphan.told}; {done}")


def _reconciler() -> "Reconciler":
    from gateway_tuning.training.watching.reconciling import Reconciler

    settings = read_settings()
    return Reconciler.of(settings, open_store(settings), tell=_tell)


def _tell(job: "TuningJob", seen: "ProviderJob", verdict: "Verdict") -> None:
    del seen
    if verdict.stale_for is not None:
        hours = verdict.stale_for.total_seconds() / 3600
        typer.echo(f"{job.key[:12]} has told nothing new for {hours:.1f} hours", err=True)


def _named(store: "JobStore", key: str) -> "TuningJob":
    found = store.named(key)
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found)} jobs begin with {key!r}; `gateway-tuning jobs list` shows all"
        )
    return found[0]


def _progress(job: "TuningJob") -> str | None:
    return None if job.progress is None else f"{job.progress:.0%}"


def _message(job: "TuningJob") -> str:
    """What its provider said last, and what stands against the job."""
    told_of = [job.message]
    if not job.status.is_terminal and job.stop_reason is not None:
        told_of.append(f"to be stopped: {job.stop_reason}")
    if not job.status.is_terminal and job.stale_since is not None:
        told_of.append(f"stale since {job.stale_since:%Y-%m-%d %H:%M} UTC")
    return "; ".join(filter(None, told_of))
