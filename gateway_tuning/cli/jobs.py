"""Tuning jobs at their providers: how they stand, and their end."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import (
    AsJson,
    Shown,
    actor,
    open_store,
    put_json,
    read_settings,
    short,
    show_table,
    told,
)
from gateway_tuning.cli.progress import progress
from gateway_tuning.errors import ConfigurationError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from gateway_tuning.training.job import ProviderJob
    from gateway_tuning.training.jobs import JobStore, TuningJob
    from gateway_tuning.training.watching.limits import Verdict
    from gateway_tuning.training.watching.reconciling import Reconciler

LOOK_S = 2.0  # between two looks at a job that is waited for

app = typer.Typer(no_args_is_help=True, help="Tuning jobs at their providers.")

Key = Annotated[str, typer.Argument(autocompletion=ids("key"), help="The job, or how its key begins")]


@app.command("list")
@told
def list_jobs(
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Only those that have not ended")] = False,
    *,
    as_json: AsJson = False,
) -> None:
    """List tuning jobs, oldest first."""
    from gateway_tuning.training.jobs import JobStore

    store = JobStore(open_store(read_settings()))
    rows = [
        [
            short(job.key),
            job.spec.provider,
            job.spec.dataset_id,
            job.status,
            _progress(job),
            job.created_at,
            _message(job),
        ]
        for job in (store.unfinished() if unfinished else store.all())
    ]
    show_table(
        ["job", "provider", "dataset", "status", "progress", "created", "message"], rows, as_json=as_json
    )


@app.command("show")
@told
def show_job(key: Key, *, as_json: AsJson = False) -> None:
    """Show a job: what it trains, how it stands, its last figures."""
    from gateway_tuning.training.jobs import JobStore

    job = _named(JobStore(open_store(read_settings())), key)
    if as_json:
        put_json(job)
        return
    show_table(
        ["", ""],
        [
            ["job", job.key],
            ["tenant", job.tenant],
            ["dataset", job.spec.dataset_id],
            ["trains", f"{job.spec.base_model} at {job.spec.provider}, {job.spec.method}"],
            [
                "hyperparameters",
                ", ".join(f"{name} {value}" for name, value in job.spec.hyperparameters.items()) or None,
            ],
            ["at the provider", job.provider_job_id],
            ["status", job.status],
            ["progress", _progress(job)],
            ["figures", ", ".join(f"{name} {value:g}" for name, value in job.metrics.items()) or None],
            ["begun", job.created_at],
            ["message", _message(job) or None],
        ],
    )


@app.command("wait")
@told
def wait_for_job(
    key: Key,
    *,
    minutes: Annotated[float | None, typer.Option(min=0, help="Give up after; never when left out")] = None,
) -> None:
    """Wait for the end of a job that a run carries. Ends with 0 where it succeeded and with 1 where not."""
    from gateway_tuning.training.job import JobStatus
    from gateway_tuning.training.jobs import JobStore

    store = JobStore(open_store(read_settings()))
    job = _named(store, key)
    until = None if minutes is None else time.monotonic() + minutes * 60
    with progress(f"Job {job.key[:12]} at {job.spec.provider}", total=1) as done:
        while not job.status.is_terminal and (until is None or time.monotonic() < until):
            done(job.progress or 0)
            time.sleep(LOOK_S if until is None else min(LOOK_S, max(0, until - time.monotonic())))
            job = store.get(job.key)
    if not job.status.is_terminal:
        raise ConflictError(
            f"Job {job.key[:12]} is still {job.status}; `gateway-tuning jobs show` tells how it stands"
        )
    typer.echo(f"{job.key[:12]} has ended: {job.status}")
    if job.status is not JobStatus.SUCCEEDED:
        typer.secho(_message(job), fg="red", err=True)
        raise typer.Exit(1)


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
def reconcile_jobs(*, as_json: AsJson = False) -> None:
    """Look once at every job that no run carries: adopt it, end it, pass on what should stop."""
    from gateway_tuning.training.job import JobStatus
    from gateway_tuning.training.watching.reconciling import Reconciled

    reconciler = _reconciler()

    def row(one: Reconciled) -> list[str | JobStatus | Shown | None]:
        return [short(one.job.key), one.job.spec.provider, one.job.status, one.found, one.message]

    show_table(["job", "provider", "status", "found", "message"], map(row, reconciler.all()), as_json=as_json)
    for name in sorted({job.spec.provider for job in reconciler.jobs.all()}):
        for orphan in reconciler.orphans([name]):
            done = "asked to stop" if orphan.stopped else "left alone"
            typer.echo(
                f"{name} has job {orphan.job_id} (key {orphan.key[:12]}): {orphan.told}; {done}", err=as_json
            )


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
    if not found:
        raise NotFoundError(f"No job begins with {key}; `gateway-tuning jobs list` shows all")
    if len(found) > 1:
        raise ConfigurationError(
            f"{len(found)} jobs begin with {key!r}; `gateway-tuning jobs list` shows all"
        )
    return found[0]


def _progress(job: "TuningJob") -> Shown:
    return Shown(job.progress, None if job.progress is None else f"{job.progress:.0%}")


def _message(job: "TuningJob") -> str:
    """What its provider said last, and what stands against the job."""
    told_of = [job.message]
    if not job.status.is_terminal and job.stop_reason is not None:
        told_of.append(f"to be stopped: {job.stop_reason}")
    if not job.status.is_terminal and job.stale_since is not None:
        told_of.append(f"stale since {job.stale_since:%Y-%m-%d %H:%M} UTC")
    return "; ".join(filter(None, told_of))
