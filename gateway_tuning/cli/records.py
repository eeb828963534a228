"""`gateway-tuning cycles`: what the store knows of them, and the end of one that should not go on."""

import typer

from gateway_tuning.cli.console import now, open_store, read_settings, show_table, told

app = typer.Typer()
cycles_app = typer.Typer(no_args_is_help=True, help="Passes through the tuning loop.")
app.add_typer(cycles_app, name="cycles")


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
