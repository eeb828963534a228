"""Money and lifecycle around a job: what is asked before its provider hears of it, and written down after it."""

import logging

from prefect.artifacts import create_markdown_artifact

from gateway_tuning.cycles.plan import TrainingPlan
from gateway_tuning.training.cost.affording import Counter
from gateway_tuning.training.cost.limits import money
from gateway_tuning.training.cost.reservations import Reservation
from gateway_tuning.training.hosting import is_elsewhere
from gateway_tuning.training.job import TuningSpec
from gateway_tuning.training.jobs import TuningJob, job_key
from gateway_tuning.training.lifecycle.guard import require_open
from gateway_tuning.training.lifecycle.table import State, way_out
from tasks.runtime import Runtime, now

logger = logging.getLogger("gateway_tuning.training")


def check_job(rt: Runtime, spec: TuningSpec, training: TrainingPlan) -> None:
    """Call it before the job is declared. What its provider has already goes on, whatever is closed or capped since.

    Raises:
        ClosedError: the provider takes no more jobs for the base model.
        BudgetError: the job may cost more than may be spent, or is capped and its cost is not known.
    """
    counter = _counter(rt)
    if not counter.is_at_provider(job_key(spec)) and not is_elsewhere(spec.provider, rt.settings):
        _check_open(spec)
    reserved = counter.check_affordable(
        spec,
        rt.datasets.manifest(spec.dataset_id),
        max_hours=training.max_training_hours,
        max_cost=training.max_cost,
        currency=training.max_cost_currency,
        now=now(),
    )
    if reserved is not None:
        create_markdown_artifact(_markdown(reserved), key="cost", description=reserved.job_key[:12])


def _check_open(spec: TuningSpec) -> None:
    """Raises ClosedError; a base model that is ending is told."""
    offered = require_open(spec, today=now().date())
    if offered.state is State.ENDING:
        told = f"{offered.told}. {way_out(spec.method).replace('DATASET', spec.dataset_id)}"
        logger.warning("%s", told)
        create_markdown_artifact(f"# A base model ends\n\n{told}", key="base-model-ends")


def record_cost(rt: Runtime, job: TuningJob) -> None:
    """Call it when the job has ended, however it did; called again it changes nothing."""
    entry = _counter(rt).record_actual(job, now=now())
    if entry is None:
        return
    if entry.amount is None or entry.currency is None:
        logger.warning("what job %s cost is not known: %s", job.key[:12], entry.note)
    else:
        logger.info("job %s cost %s: %s", job.key[:12], money(entry.amount, entry.currency), entry.note)


def _counter(rt: Runtime) -> Counter:
    return Counter(rt.settings, rt.engine, rt.objects)


def _markdown(reserved: Reservation) -> str:
    """The estimate by its parts, how sure it is and why."""
    lines = [
        f"# What job `{reserved.job_key[:12]}` may cost",
        f"{reserved.base_model} by {reserved.method} at {reserved.provider}, {reserved.confidence} confidence",
        "",
        "| part | amount | how |",
        "|---|---:|---|",
    ]
    for part in reserved.detail["parts"]:
        amount = "not known" if part["amount"] is None else f"{part['amount']} {reserved.currency}"
        lines.append(f"| {part['part']} | {amount} | {part['told']} |")
    lines.append("")
    if reserved.expected is None or reserved.ceiling is None:
        lines.append("Nobody knows what it costs. Prices of your own: `docs/how-to/costs.md`.")
    else:
        expected, ceiling = (
            money(reserved.expected, reserved.currency),
            money(reserved.ceiling, reserved.currency),
        )
        lines.append(f"{expected} expected; {ceiling} set aside, with a margin.")
    lines += [f"- {reason}" for reason in reserved.detail["reasons"]]
    return "\n".join(lines)
