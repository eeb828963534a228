"""`gateway-tuning runs` and `gateway-tuning approvals`: what was asked for, and what waits for a person's word."""

import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import (
    AsJson,
    Limit,
    Tenant,
    actor,
    now,
    open_store,
    put_json,
    read_settings,
    show_table,
    told,
)
from gateway_tuning.cli.progress import progress
from gateway_tuning.errors import ConflictError, OrchestratorError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.runs.run import Run

LOOK_S = 2.0  # between two looks at a run that is waited for

runs_app = typer.Typer(no_args_is_help=True, help="Runs that the API or an approval started.")
approvals_app = typer.Typer(no_args_is_help=True, help="What may go on only once another person has said so.")

RunId = Annotated[str, typer.Argument(autocompletion=ids("run_id"), help="The run, as `runs list` shows it")]
ApprovalId = Annotated[
    str, typer.Argument(autocompletion=ids("approval_id"), help="The approval, as `approvals list` shows it")
]
Comment = Annotated[str | None, typer.Option(help="Why; it is kept with the decision")]


@runs_app.command("list")
@told
def list_runs(*, tenant: Tenant = "default", limit: Limit = 50, as_json: AsJson = False) -> None:
    """List runs, newest first, as they were last seen."""
    from gateway_tuning.runs.store import RunStore

    show_table(
        ["run", "kind", "status", "result", "started by", "created", "message"],
        [
            [run.id, run.kind, run.status, run.result_id, run.started_by, run.created_at, run.message or None]
            for run in RunStore(open_store(read_settings())).page(tenant, limit=limit)
        ],
        as_json=as_json,
    )


@runs_app.command("show")
@told
def show_run(run_id: RunId, *, as_json: AsJson = False) -> None:
    """Show a run; Prefect is asked how it stands, where one is configured and answers."""
    from gateway_tuning.runs.prefect_api import PrefectApi
    from gateway_tuning.runs.store import RunStore

    settings = read_settings()
    store = RunStore(open_store(settings))
    run = store.get(run_id)
    orchestrator = PrefectApi.from_settings(settings)
    if orchestrator is not None:
        try:
            run = store.refresh(run, orchestrator, now=now())
        except OrchestratorError as error:
            typer.secho(f"As it was last seen: {error}", fg="yellow", err=True)
    if as_json:
        put_json(run)
        return
    show_table(
        ["", ""],
        [
            ["run", run.id],
            ["tenant", run.tenant],
            ["kind", run.kind],
            ["status", run.status],
            ["result", run.result_id],
            ["in Prefect", run.orchestrator_id],
            ["started by", run.started_by],
            ["created", run.created_at],
            ["changed", run.updated_at],
            ["message", run.message or None],
        ],
    )


@runs_app.command("wait")
@told
def wait_for_run(
    run_id: RunId,
    *,
    minutes: Annotated[float | None, typer.Option(min=0, help="Give up after; never when left out")] = None,
) -> None:
    """Wait for the end of a run: a build, a job, a cycle. Ends with 0 where it succeeded and with 1 where not."""
    from gateway_tuning.runs.orchestrator import RunStatus
    from gateway_tuning.runs.prefect_api import PrefectApi
    from gateway_tuning.runs.store import RunStore

    settings = read_settings()
    store, orchestrator = RunStore(open_store(settings)), PrefectApi.from_settings(settings)
    run = store.get(run_id)
    began = time.monotonic()
    with progress(f"{run.kind} {run.id}, seconds") as done:
        while not run.status.is_terminal and (minutes is None or time.monotonic() - began < minutes * 60):
            done(time.monotonic() - began)
            time.sleep(LOOK_S)
            run = store.get(run_id)
            if orchestrator is not None:
                run = store.refresh(run, orchestrator, now=now())
    if not run.status.is_terminal:
        raise ConflictError(
            f"Run {run.id} is still {run.status}; `gateway-tuning runs show {run.id}` tells how it stands"
        )
    typer.echo(f"{run.id} has ended: {run.status}" + (f", {run.result_id}" if run.result_id else ""))
    if run.status is not RunStatus.SUCCEEDED:
        typer.secho(run.message or "Nothing is known of why; see the run in Prefect", fg="red", err=True)
        raise typer.Exit(1)


@approvals_app.command("list")
@told
def list_approvals(
    *,
    tenant: Tenant = "default",
    pending: Annotated[bool, typer.Option("--pending", help="Only those that wait")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List approvals, newest first."""
    from gateway_tuning.runs.approvals import ApprovalState, ApprovalStore

    state = ApprovalState.PENDING if pending else None
    show_table(
        ["approval", "model", "candidate", "awaited by", "asked by", "state", "decided by", "created"],
        [
            [
                one.id,
                one.model,
                one.candidate,
                f"{one.awaited_by} {one.awaited_id}",
                one.requested_by,
                one.state,
                one.decided_by,
                one.created_at,
            ]
            for one in ApprovalStore(open_store(read_settings())).page(tenant, limit=limit, state=state)
        ],
        as_json=as_json,
    )


@approvals_app.command("show")
@told
def show_approval(approval_id: ApprovalId, *, tenant: Tenant = "default", as_json: AsJson = False) -> None:
    """Show what is known of the candidate that waits, and what was decided."""
    from gateway_tuning.runs.approvals import ApprovalStore

    one = ApprovalStore(open_store(read_settings())).get(approval_id, tenant=tenant)
    if as_json:
        put_json(one)
        return
    show_table(
        ["", ""],
        [
            ["approval", one.id],
            ["candidate", f"{one.candidate} of {one.model}"],
            ["awaited by", f"{one.awaited_by} {one.awaited_id}"],
            ["asked by", one.requested_by],
            *[["known of it", reason] for reason in one.reasons],
            ["state", one.state],
            ["decided by", one.decided_by],
            ["comment", one.comment],
        ],
    )


@approvals_app.command("approve")
@told
def approve(approval_id: ApprovalId, *, tenant: Tenant = "default", comment: Comment = None) -> None:
    """Let it go on. Not for whoever asked for it."""
    _decide(approval_id, "approve", tenant, comment)


@approvals_app.command("reject")
@told
def reject(approval_id: ApprovalId, *, tenant: Tenant = "default", comment: Comment = None) -> None:
    """End what waits for it."""
    _decide(approval_id, "reject", tenant, comment)


def _decide(
    approval_id: str, decision: Literal["approve", "reject"], tenant: str, comment: str | None
) -> None:
    from gateway_tuning.access.audit import AuditEvent, AuditLog
    from gateway_tuning.runs.approvals import ApprovalStore

    engine, at = open_store(read_settings()), now()
    store = ApprovalStore(engine)
    asked = store.get(approval_id, tenant=tenant)
    detail = {"awaited_by": asked.awaited_by, "awaited_id": asked.awaited_id}
    event = AuditEvent(tenant, actor(), f"approval.{decision}", approval_id, detail=detail)
    decided, run = store.decide(
        approval_id,
        decision,
        tenant=tenant,
        by=actor(),
        comment=comment,
        now=at,
        also=lambda connection: AuditLog(engine).append_in(connection, event, now=at),
    )
    typer.echo(f"{decided.id} is {decided.state}")
    if run is not None and decision == "approve":
        _begin(engine, run)


def _begin(engine: "sa.Engine", run: "Run") -> None:
    """A run that cannot be started now is not lost: it is an intent, and is started when Prefect answers."""
    from gateway_tuning.runs.prefect_api import PrefectApi
    from gateway_tuning.runs.store import RunStore

    orchestrator = PrefectApi.from_settings(read_settings())
    if orchestrator is None:
        typer.secho(
            f"{run.id} waits: set PREFECT_API_URL to the server that runs the flows, and approve again",
            fg="yellow",
            err=True,
        )
        return
    started = RunStore(engine).start(run, orchestrator, now=now())
    typer.echo(f"{started.id} is {started.status}")
