"""Open a cycle, hold it while it runs, and keep what each stage left."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prefect import task
from prefect.runtime import flow_run

from gateway_tuning.cycles.cycle import Cycle, CycleOutcome, Stage, StageResult
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.registry.model_version import STABLE, ModelVersion, base_version_id
from gateway_tuning.runs.run import run_of_tags
from gateway_tuning.storage import leases
from tasks.approvals import open_forms
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.cycle")

LEASE_SECONDS = 60.0

RunStage = Callable[..., StageResult]


def started_by() -> str:
    """Who asked for the run that this flow run carries out; Prefect for a schedule, an event or its own form."""
    run_id = run_of_tags(flow_run.tags or ())
    return "prefect" if run_id is None else runtime().runs.get(run_id).started_by


@task(name="open cycle")
def open_cycle(plan: CyclePlan) -> Cycle:
    """Continue the model's unfinished cycle, or pin the feedback and the incumbent of a new one."""
    cycle = runtime().cycles.open(
        tenant=plan.tenant,
        model=plan.model,
        plan=plan.model_dump(mode="json"),
        watermark=runtime().feedback.watermark(plan.tenant),
        incumbent=_incumbent(plan).id,
        started_by=started_by(),
        now=now(),
    )
    logger.info("cycle %s of %s: %s", cycle.id, cycle.model, cycle.outcome or cycle.status)
    return cycle


@contextmanager
def hold(cycle: Cycle) -> Iterator[RunStage]:
    """Hold the cycle's lease and yield `run(name, stage_flow, *args)`.

    `run` returns what an earlier attempt recorded for the stage, or runs it and records its result.

    Raises:
        ConflictError: another process works on this cycle.
    """
    engine = runtime().engine
    lease = leases.acquire(
        engine, cycle.lease_name, owner=leases.this_process(), now=now(), seconds=LEASE_SECONDS
    )
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
        result = stage(*args)
        seconds = time.monotonic() - started
        runtime().cycles.record_stage(cycle.id, name, result, seconds=seconds, lease=lease, now=now())
        recorded = runtime().cycles.stages(cycle.id)[name]
        logger.info("%s: %s in %.1f s", name, result.id, seconds, extra={"stage": recorded})
        return recorded.result

    try:
        yield run
    finally:
        released.set()
        renewal.join()
        leases.release(engine, lease, now=now())


@task(name="stages of cycle")
def stages_of(cycle_id: str) -> dict[str, Stage]:
    return runtime().cycles.stages(cycle_id)


@task(name="finish cycle")
def finish_cycle(cycle_id: str, outcome: CycleOutcome, reasons: tuple[str, ...]) -> Cycle:
    cycle = runtime().cycles.finish(cycle_id, outcome, reasons, now=now())
    logger.info("cycle %s ended: %s", cycle.id, cycle.outcome)
    return cycle


def approval_is_needed(plan: CyclePlan, drift: StageResult) -> bool:
    """After a pass of the gate: always, or where the policy asks a person about drift and there is some."""
    if plan.gate.requires_approval:
        return True
    asks = plan.gate.on_drift == "ask" and drift.detail["state"] == "drift"
    return asks and bool(drift.detail.get("against_stable", True))


@task(name="ask approval")
def ask_approval(cycle_id: str, candidate: str, reasons: list[str]) -> bool:
    """True once an administrator approved; until then the cycle awaits it, and no process does.

    It is asked for once: over the API, and as a form in Prefect's UI.
    """
    approved = runtime().approvals.await_for_cycle(
        cycle_id, candidate=candidate, reasons=tuple(reasons), now=now()
    )
    if not approved:
        logger.info("cycle %s awaits the approval of %s", cycle_id, candidate)
        open_forms(runtime().cycles.get(cycle_id).tenant)
    return approved


@task(name="read cycle")
def read_cycle(cycle_id: str) -> Cycle:
    return runtime().cycles.get(cycle_id)


@task(name="enter canary")
def enter_canary(cycle_id: str) -> Cycle:
    """From here on short runs of advance-canary carry the cycle to its end."""
    runtime().cycles.enter_canary(cycle_id)
    return runtime().cycles.get(cycle_id)


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
