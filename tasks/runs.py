"""What runs that a principal asked for tell of themselves, and the intents that nobody has started yet."""

import logging
from typing import Any, TypedDict

from prefect import Flow, State, task
from prefect.client.schemas.objects import FlowRun
from prefect.flows import FlowStateHook

from gateway_tuning.cycles.cycle import Cycle, StageResult
from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.run import run_of_tags
from gateway_tuning.runs.store import start_unstarted
from tasks.jobs import stop_jobs_of
from tasks.patience import BRIEF
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.runs")

_ENDS = {"FAILED": RunStatus.FAILED, "CANCELLED": RunStatus.CANCELLED}


class Hooks(TypedDict):
    on_running: list[FlowStateHook[..., Any]]
    on_completion: list[FlowStateHook[..., Any]]
    on_failure: list[FlowStateHook[..., Any]]
    on_cancellation: list[FlowStateHook[..., Any]]
    on_crashed: list[FlowStateHook[..., Any]]


def note_running(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    del flow, state
    run_id = _run_of(flow_run)
    if run_id is not None:
        runtime().runs.note(run_id, RunStatus.RUNNING, now=now())


def note_result(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    del flow
    run_id = _run_of(flow_run)
    if run_id is not None:
        result = state.result()
        made = result.id if isinstance(result, StageResult | Cycle) else None
        runtime().runs.note(run_id, RunStatus.SUCCEEDED, result_id=made, now=now())


def note_end(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    del flow
    run_id = _run_of(flow_run)
    if run_id is not None:
        runtime().runs.note(run_id, _ENDS[state.type.value], state.message or "", now=now())


def note_crash(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Its process was lost; it is started again, a few times at most."""
    del flow, state
    run_id = _run_of(flow_run)
    if run_id is not None:
        runtime().runs.note_crash(run_id, str(flow_run.id), now=now())


NOTED: Hooks = {
    "on_running": [note_running],
    "on_completion": [note_result],
    "on_failure": [note_end],
    "on_cancellation": [note_end, stop_jobs_of],
    "on_crashed": [note_crash],
}
"""For the flows that the API starts: `@flow(..., **NOTED)`. Other runs of theirs are none of its business."""


@task(name="start waiting runs", **BRIEF)
def start_waiting_runs(grace_seconds: float) -> dict[str, str]:
    """Intents whose start is not known after the grace, started under their own keys."""
    told = start_unstarted(runtime().runs, runtime().prefect, now=now(), grace_s=grace_seconds)
    for run_id, status in told.items():
        logger.info("run %s: %s", run_id, status)
    return told


def _run_of(flow_run: FlowRun) -> str | None:
    """Absent for a flow that runs as a part of another one."""
    return run_of_tags(flow_run.tags) if flow_run.parent_task_run_id is None else None
