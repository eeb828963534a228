"""What a crash left behind: runs without a process, and cycles that nobody carries. Bounded, and told."""

import logging
import uuid
from datetime import timedelta

from prefect import task
from prefect.artifacts import create_table_artifact

from gateway_tuning.cycles.cycle import Cycle
from gateway_tuning.errors import NotFoundError
from gateway_tuning.runs.orchestrator import Event, RunStatus
from gateway_tuning.runs.restarts import Due, Restart, RestartStore, due
from gateway_tuning.runs.run import RunKind
from gateway_tuning.storage import leases
from tasks.patience import BRIEF
from tasks.runtime import now, runtime
from tasks.threshold import subject_of

logger = logging.getLogger("gateway_tuning.runs")

GIVEN_UP = "cycle.given-up"
_CYCLE = RunKind.TUNING_CYCLE


@task(name="end silent runs", **BRIEF)
def end_silent_runs(unstarted_seconds: float, silent_seconds: float) -> dict[str, str]:
    """Runs in Prefect that no process carries, told so there. Run to why.

    Heartbeats are events, which get lost: a run that holds the lease of its cycle lives.
    """
    rt = runtime()
    silent = rt.prefect.silent(unstarted_s=unstarted_seconds, silent_s=silent_seconds, now=now())
    alive = {cycle.run_id for cycle in rt.cycles.running() if _holder(cycle)} if silent else set()
    found = {run_id: told for run_id, told in silent.items() if run_id not in alive}
    for run_id, told in found.items():
        rt.prefect.crash(run_id, told)
        logger.warning("run %s is ended: %s", run_id, told)
    return found


@task(name="hear of runs", **BRIEF)
def hear_of_runs(grace_seconds: float) -> dict[str, str]:
    """Ask Prefect about each run of the API of which nothing was heard for the grace. Those that changed, and how.

    One that crashed waits to be started again, which check-threshold does.
    """
    rt, told = runtime(), {}
    for run in rt.runs.under_way(before=now() - timedelta(seconds=grace_seconds)):
        after = rt.runs.refresh(run, rt.prefect, now=now())
        if (after.status, after.orchestrator_id) != (run.status, run.orchestrator_id):
            told[run.id] = f"{after.status}: {after.message}" if after.message else after.status.value
            logger.info("run %s: %s", run.id, told[run.id])
    return told


@task(name="restart cycles", **BRIEF)
def restart_cycles(grace_seconds: float) -> dict[str, str]:
    """Go on with each unfinished cycle that nobody has worked on for the grace. Cycle to what was done about it."""
    rt = runtime()
    idle = [cycle for cycle in rt.cycles.running() if _is_idle(cycle, grace_seconds)]
    if not idle:
        return {}
    busy = {subject_of(parameters) for parameters in rt.prefect.under_way(_CYCLE.deployment, now=now())}
    busy |= {subject_of(run.parameters) for run in rt.runs.waiting(_CYCLE)}
    told = {}
    for cycle in idle:
        if (cycle.tenant, cycle.model) not in busy and not _waits(cycle):
            told[cycle.id] = _go_on(cycle)
            logger.info("cycle %s of %s: %s", cycle.id, cycle.model, told[cycle.id])
    return told


def show(found: dict[str, dict[str, str]]) -> None:
    """As an artifact, where something was done."""
    rows = [
        {"what": what, "id": id_, "done": told} for what, done in found.items() for id_, told in done.items()
    ]
    if rows:
        create_table_artifact(rows, key="reconciliation", description=f"{len(rows)} looked after")


def _is_idle(cycle: Cycle, grace_seconds: float) -> bool:
    """A run that has just opened its cycle takes the lease next."""
    long_ago = now() - timedelta(seconds=grace_seconds)
    return cycle.created_at < long_ago and _holder(cycle) is None


def _waits(cycle: Cycle) -> bool:
    """For another canary of its model, as its run said when it ended."""
    if not cycle.reasons:
        return False
    obstacle = runtime().canaries.obstacle(cycle.canary_id, model=cycle.model, control=cycle.incumbent)
    return obstacle is not None and obstacle.passes


def _holder(cycle: Cycle) -> str | None:
    return leases.holder(runtime().engine, cycle.lease_name, now=now())


def _go_on(cycle: Cycle) -> str:
    rt = runtime()
    reason = _lost(cycle)
    if reason is None:
        return f"left alone: run {cycle.run_id} was cancelled. Run the cycle again, or {_give_up(cycle)}"
    restarts = RestartStore(rt.engine)
    before = restarts.of(_subject(cycle))
    finished = [stage.finished_at for stage in rt.cycles.stages(cycle.id).values()]
    verdict = due(before, progress_at=max(finished, default=None), now=now())
    if verdict is Due.LATER:
        return f"{reason}; tried again a little later"
    if verdict is Due.NEVER:
        rt.prefect.announce(_given_up(cycle, before[-1]))
        logger.error(
            "cycle %s of %s %s and was started again %d times; it is not tried any more. See its last run %s. Then run "
            "the cycle again, or %s", cycle.id, cycle.model, reason, before[-1].number, cycle.run_id, _give_up(cycle),
        )  # fmt: skip
        return f"{reason}; not tried any more"
    restart = Restart(_subject(cycle), len(before) + 1, reason, now())
    run = rt.prefect.start(_CYCLE.deployment, {"plan": cycle.plan}, key=restart.key)
    restarts.note(restart)
    return f"{reason}; restart {restart.number} is run {run.id}"


def _lost(cycle: Cycle) -> str | None:
    """How the run ended that carried it last; None where somebody cancelled it."""
    rt = runtime()
    if cycle.run_id is None:
        return "was never carried"
    try:
        last = rt.prefect.read(cycle.run_id)
    except NotFoundError:
        return "has a run that is gone"
    if last.status is RunStatus.CANCELLED:
        return None
    if not last.status.is_terminal:
        # Its lease has run out: whoever held it cannot write under it any more.
        rt.prefect.crash(cycle.run_id, f"nobody holds the lease of cycle {cycle.id} any more")
        return "lost its process"
    if last.status is RunStatus.SUCCEEDED:
        return "has waited"
    return "lost its process" if last.crashed else "has a run that failed"


def _subject(cycle: Cycle) -> str:
    return f"cycle {cycle.id}"


def _give_up(cycle: Cycle) -> str:
    return f"give it up: gateway-tuning cycles abandon {cycle.id}"


def _given_up(cycle: Cycle, last: Restart) -> Event:
    """One for however many looks."""
    return Event(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{GIVEN_UP}:{last.key}")),
        name=GIVEN_UP,
        resource=f"gateway-tuning.model.{cycle.model}",
        occurred=last.at,
        payload={"tenant": cycle.tenant, "cycle": cycle.id, "restarts": last.number, "run": cycle.run_id},
    )
