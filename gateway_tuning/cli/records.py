"""`gateway-tuning cycles`: what the store knows of them, and the end of one that should not go on."""

from typing import Annotated

import typer

from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import AsJson, now, open_store, put_json, read_settings, show_table, told

cycles_app = typer.Typer(no_args_is_help=True, help="Passes through the tuning loop.")

CycleId = Annotated[
    str, typer.Argument(autocompletion=ids("cycle_id"), help="The cycle, as `cycles list` shows it")
]


@cycles_app.command("list")
@told
def list_cycles(*, as_json: AsJson = False) -> None:
    """List tuning cycles, oldest first."""
    from gateway_tuning.cycles.store import CycleStore

    cycles = CycleStore(open_store(read_settings())).all()
    shown = [cycle.reasons if as_json else cycle.reasons[:1] for cycle in cycles]  # a canary's are a page
    rows = [
        [cycle.id, cycle.model, cycle.status, cycle.outcome, "; ".join(reasons)]
        for cycle, reasons in zip(cycles, shown, strict=True)
    ]
    show_table(["cycle", "model", "status", "outcome", "reasons"], rows, as_json=as_json)


@cycles_app.command("show")
@told
def show_cycle(cycle_id: CycleId, *, as_json: AsJson = False) -> None:
    """Show what each stage of a cycle left, how it stands and why."""
    from gateway_tuning.cycles.store import CycleStore

    store = CycleStore(open_store(read_settings()))
    cycle, stages = store.get(cycle_id), store.stages(cycle_id)
    if as_json:
        put_json({"cycle": cycle, "stages": list(stages.values())})
        return
    rows = [
        [stage.stage, stage.result.id, f"{stage.seconds:.1f}", stage.finished_at] for stage in stages.values()
    ]
    show_table(["stage", "result", "seconds", "finished"], rows)
    typer.echo(f"\n{(cycle.outcome or cycle.status).replace('_', ' ').capitalize()}.")
    for reason in cycle.reasons:
        typer.echo(f"- {reason}")


@cycles_app.command("abandon")
@told
def abandon_cycle(cycle_id: CycleId) -> None:
    """Give up an unfinished cycle, so that another plan can run."""
    from gateway_tuning.cycles.cycle import CycleOutcome
    from gateway_tuning.cycles.store import CycleStore

    store = CycleStore(open_store(read_settings()))
    store.get(cycle_id)
    ended = store.finish(cycle_id, CycleOutcome.ABANDONED, ("abandoned by hand",), now=now())
    typer.echo(f"{ended.id}: {ended.outcome}")
