"""Open a cycle, hold it while it runs, and keep what each stage left."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from gateway_tuning.cycles.cycle import Cycle, CycleOutcome, Stage, StageResult
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.cycles.telling import markdown
from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.observability.logs import bound
from gateway_tuning.registry.model_version import STABLE, ModelVersion, base_version_id
from gateway_tuning.rollout.canary_store import Obstacle
from gateway_tuning.runs.run import run_of_tags
from gateway_tuning.serving import tell_hosted
from gateway_tuning.storage import leases
from tasks.approvals import open_forms
from tasks.patience import BRIEF
from tasks.runtime import now, runtime
from tasks.traces import trace_cycle, trace_stage

logger = logging.getLogger("gateway_tuning.cycle")

LEASE_SECONDS = 60.0

RunStage = Callable[..., StageResult]


def started_by() -> str:
    """Who asked for the run that this flow run carries out; Prefect for a schedule, an event or its own form."""
    run_id = run_of_tags(flow_run.tags or ())
    return "prefect" if run_id is None else runtime().runs.get(run_id).started_by


def comes_by_itself() -> bool:
    """Whether a schedule or an event started this flow run: there is nobody whose plan it would be."""
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if run is None or run_of_tags(run.tags or ()) is not None:
        return False
    return (
        run.auto_scheduled or run.idempotency_key is not None
    )  # as Prefect's automations have it, and no form


@task(name="open cycle", **BRIEF)
def open_cycle(plan: CyclePlan, *, by_itself: bool = False) -> Cycle:
    """Continue the model's unfinished cycle, or pin the feedback and the incumbent of a new one.

    A run that came `by_itself` gets the unfinished cycle also where that has another plan, see `is_of`.

    Raises:
        ConflictError: the unfinished cycle has another plan than the one that somebody asked for.
    """
    try:
        cycle = runtime().cycles.open(
            tenant=plan.tenant,
            model=plan.model,
            plan=plan.model_dump(mode="json"),
            watermark=runtime().feedback.watermark(plan.tenant),
            incumbent=_incumbent(plan).id,
            started_by=started_by(),
            now=now(),
        )
    except ConflictError as error:
        other = runtime().cycles.unfinished(plan.tenant, plan.model)
        if other is None or not by_itself:
            raise
        _one_at_a_time(f"This run came by itself and ends: {error}", other.id)
        return other
    logger.info("cycle %s of %s: %s", cycle.id, cycle.model, cycle.outcome or cycle.status)
    return cycle


@contextmanager
def hold(cycle: Cycle) -> Iterator[RunStage | None]:
    """Hold the cycle's lease and yield `run(name, stage_flow, *args)`; None where another process works on the cycle.

    `run` returns what an earlier attempt recorded for the stage, or runs it and records its result.

    Raises:
        ConflictError: at the next stage, when another process took the cycle over.
    """
    engine = runtime().engine
    try:
        lease = leases.acquire(
            engine, cycle.lease_name, owner=leases.this_process(), now=now(), seconds=LEASE_SECONDS
        )
    except ConflictError as error:
        told = f"Cycle `{cycle.id}` of {cycle.model} is being worked on already, so this run ends: {error}"
        _one_at_a_time(told, cycle.id)
        yield None
        return
    if flow_run.root_flow_run_id is not None:
        runtime().cycles.carried_by(cycle.id, flow_run.root_flow_run_id, lease=lease)
    released = threading.Event()
    renewal = threading.Thread(target=_renew, args=(lease, released), name="lease-renewal", daemon=True)
    renewal.start()

    def run(name: str, stage: Callable[..., StageResult], *args: object) -> StageResult:
        known = runtime().cycles.stages(cycle.id).get(name)
        if known is not None:
            logger.info("%s: kept from before (%s)", name, known.result.id, extra={"stage": known})
            return known.result
        logger.info("%s: started", name, extra={"stage_started": name})
        started = time.monotonic()
        with bound(stage=name):
            result = stage(*args)
        seconds = time.monotonic() - started
        runtime().cycles.record_stage(cycle.id, name, result, seconds=seconds, lease=lease, now=now())
        recorded = runtime().cycles.stages(cycle.id)[name]
        logger.info("%s: %s in %.1f s", name, result.id, seconds, extra={"stage": recorded})
        trace_stage(cycle, recorded)
        return recorded.result

    try:
        with bound(cycle=cycle.id):
            yield run
    finally:
        released.set()
        renewal.join()
        leases.release(engine, lease, now=now())


def is_of(cycle: Cycle, plan: CyclePlan) -> bool:
    return cycle.plan == plan.model_dump(mode="json")


def _one_at_a_time(told: str, subject: str) -> None:
    logger.warning("%s", told)
    create_markdown_artifact(f"# One cycle at a time\n\n{told}", key="cycle", description=subject)


@task(name="stages of cycle", **BRIEF)
def stages_of(cycle_id: str) -> dict[str, Stage]:
    return runtime().cycles.stages(cycle_id)


@task(name="finish cycle", **BRIEF)
def finish_cycle(cycle_id: str, outcome: CycleOutcome, reasons: tuple[str, ...]) -> Cycle:
    cycle = runtime().cycles.finish(cycle_id, outcome, reasons, now=now())
    logger.info("cycle %s ended: %s", cycle.id, cycle.outcome)
    trace_cycle(cycle)
    return shown(cycle)


def approval_is_needed(plan: CyclePlan, drift: StageResult) -> bool:
    """After a pass of the gate: always, or where the policy asks a person about drift and there is some."""
    if plan.gate.requires_approval:
        return True
    asks = plan.gate.on_drift == "ask" and drift.detail["state"] == "drift"
    return asks and bool(drift.detail.get("against_stable", True))


@task(name="ask approval", **BRIEF)
def ask_approval(cycle_id: str, candidate: str, reasons: list[str]) -> bool:
    """True once an administrator approved; until then the cycle awaits it, and no process does.

    It is asked for once: over the API, and as a form in Prefect's UI.
    """
    approved = runtime().approvals.await_for_cycle(
        cycle_id, candidate=candidate, reasons=tuple(reasons), now=now()
    )
    if not approved:
        logger.info("cycle %s awaits the approval of %s", cycle_id, candidate)
        open_forms(shown(runtime().cycles.get(cycle_id)).tenant)
    return approved


@task(name="obstacle to canary", **BRIEF)
def obstacle_to_canary(cycle: Cycle) -> Obstacle | None:
    return runtime().canaries.obstacle(cycle.canary_id, model=cycle.model, control=cycle.incumbent)


@task(name="wait for turn", **BRIEF)
def wait_for_turn(cycle_id: str, reason: str) -> Cycle:
    """Write down why; no process waits."""
    runtime().cycles.waits(cycle_id, reason)
    logger.info("cycle %s waits: %s", cycle_id, reason)
    return shown(runtime().cycles.get(cycle_id))


@task(name="read cycle", **BRIEF)
def read_cycle(cycle_id: str) -> Cycle:
    return runtime().cycles.get(cycle_id)


@task(name="enter canary", **BRIEF)
def enter_canary(cycle_id: str) -> Cycle:
    """From here on short runs of advance-canary carry the cycle to its end."""
    runtime().cycles.enter_canary(cycle_id)
    return shown(runtime().cycles.get(cycle_id))


def shown(cycle: Cycle) -> Cycle:
    """On the page of its run, as it stands where the run ends."""
    told = markdown(cycle, runtime().cycles.stages(cycle.id).values())
    create_markdown_artifact(told, key="cycle", description=cycle.id)
    return cycle


def _incumbent(plan: CyclePlan) -> ModelVersion:
    """The stable version; the base model takes that place until something better is promoted."""
    registry = runtime().registry
    try:
        return registry.resolve(plan.model, STABLE)
    except NotFoundError:
        base = registry.register(
            ModelVersion(
                tenant=plan.tenant,
                id=base_version_id(plan.model, plan.training.base_model),
                model=plan.model,
                base_model=plan.training.base_model,
                provider=plan.training.provider,
                created_at=now(),
            )
        )
        tell_hosted(base, registry=registry, settings=runtime().settings, now=now())
        registry.point(plan.model, STABLE, base.id, reason="the base model, until a better one", now=now())
        return base


def _renew(lease: leases.Lease, released: threading.Event) -> None:
    while not released.wait(LEASE_SECONDS / 4):
        try:
            leases.renew(runtime().engine, lease, now=now(), seconds=LEASE_SECONDS)
        except ConflictError:
            # The next record of a stage checks the fence and stops this run with the reason.
            logger.warning("%s was taken over; this run will stop at its next stage", lease.name)
            return
        except sa.exc.OperationalError as error:
            # The store is busy or gone; three more tries fit in before the lease ends.
            logger.warning("%s could not be renewed: %s", lease.name, error.orig)
