"""The whole loop on one screen. Started by a schedule, by hand, or when feedback crosses its threshold."""

from functools import partial

from prefect import flow

from flows.build_dataset import build_dataset
from flows.check_drift import check_drift
from flows.decide_gate import decide_gate
from flows.evaluate_model import evaluate_model
from flows.start_canary import start_canary
from flows.train_model import train_model
from gateway_tuning.cycles.cycle import Cycle, CycleOutcome, CycleStatus
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.rollout.gate import GateOutcome
from tasks.cycles import (
    approval_is_needed,
    ask_approval,
    comes_by_itself,
    enter_canary,
    finish_cycle,
    hold,
    is_of,
    obstacle_to_canary,
    open_cycle,
    read_cycle,
    shown,
    wait_for_turn,
)
from tasks.datasets import missing_examples
from tasks.patience import FLOW_JOB_S
from tasks.runs import NOTED

_PLAN = CyclePlan()


@flow(name="tuning-cycle", flow_run_name="tune {plan.model}", timeout_seconds=FLOW_JOB_S, **NOTED)
def tuning_cycle(plan: CyclePlan = _PLAN) -> Cycle:  # noqa: PLR0911 - each is an end of a cycle, or of its part
    """Feedback becomes a dataset, the dataset a candidate, and the candidate meets users if it is better.

    A run that was killed is continued by the next one: what is done stays done. The canary outlives this run;
    advance-canaries ends it, and the cycle with it.

    Args:
        plan: every choice of this cycle; the defaults suit a first run.
    """
    cycle = open_cycle(plan, by_itself=comes_by_itself())
    if not is_of(cycle, plan):
        return cycle  # it goes on by its own plan, and nobody asked for this one
    if cycle.status is not CycleStatus.RUNNING:
        return shown(cycle)
    with hold(cycle) as run:
        if run is None:
            return cycle  # another run carries it
        dataset = run("dataset", build_dataset, plan.tenant, plan.recipe, cycle.watermark)
        missing = missing_examples(dataset.id, plan.training)
        if missing:
            return finish_cycle(cycle.id, CycleOutcome.TOO_FEW_EXAMPLES, missing)

        candidate = run("train", train_model, dataset.id, plan.model, plan.training)
        if candidate.id == cycle.incumbent:
            return finish_cycle(cycle.id, CycleOutcome.UNCHANGED, ("the candidate is the stable version",))
        evaluation = run(
            "evaluate", evaluate_model, candidate.id, cycle.incumbent, dataset.id, plan.evaluation
        )
        drift = run("drift", check_drift, dataset.id, cycle.incumbent, plan.drift)
        gate = run("gate", decide_gate, evaluation.id, drift.id, plan.gate)
        if gate.id != GateOutcome.PASS:
            return finish_cycle(cycle.id, CycleOutcome.REJECTED, gate.detail["reasons"])
        asks = approval_is_needed(plan, drift)
        if asks and not ask_approval(cycle.id, candidate.id, gate.detail["reasons"]):
            return read_cycle(cycle.id)  # the approval starts this flow again, which goes on from here

        obstacle = obstacle_to_canary(cycle)
        if obstacle is not None and obstacle.passes:
            return wait_for_turn(cycle.id, obstacle.reason)  # reconcile-runs goes on from here
        if obstacle is not None:
            return finish_cycle(cycle.id, CycleOutcome.INCONCLUSIVE, (obstacle.reason,))
        begin = partial(start_canary, started_by=cycle.started_by)
        run("canary", begin, cycle.canary_id, plan.model, candidate.id, cycle.incumbent, plan.canary)
        return enter_canary(cycle.id)
