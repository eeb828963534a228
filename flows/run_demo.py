"""The whole product on one machine: a feedback file goes in, a promoted or refused model comes out."""

import time
from pathlib import Path
from typing import Any

from prefect import flow

from flows.advance_canaries import advance_canaries
from flows.import_feedback import import_feedback
from flows.tuning_cycle import tuning_cycle
from gateway_tuning.cycles.cycle import CycleStatus
from gateway_tuning.cycles.plan import CyclePlan
from tasks.cycles import stages_of
from tasks.demo import open_gateway, simulate_wave
from tasks.reports import report_cycle

MAX_WAVES = 12


@flow(name="demo")
def run_demo(feedback: Path, mapping: Path | None, plan: CyclePlan, folder: Path) -> dict[str, Any]:
    """Import, tune, evaluate, and let simulated users decide the canary. Returns the summary.

    Args:
        feedback: file or folder of feedback.
        mapping: YAML file that says where an export keeps what.
        plan: every choice of the cycle.
        folder: where summary.json and report.html go.
    """
    started = time.monotonic()
    imported = import_feedback(feedback, mapping, plan.tenant)
    import_seconds = time.monotonic() - started

    cycle = tuning_cycle(plan)
    if cycle.status is CycleStatus.IN_CANARY:
        run_canary(cycle.id, plan.evaluation.max_tokens)
    return report_cycle(
        cycle.id, folder, title="Tuning demo", feedback=imported, import_seconds=import_seconds
    )


def run_canary(cycle_id: str, max_tokens: int) -> None:
    """Simulated users in waves, a look after each, until the canary ends or the waves do."""
    stages = stages_of(cycle_id)
    canary, dataset = stages["canary"].result.id, stages["dataset"].result.id
    with open_gateway(canary) as base_url:
        for wave in range(MAX_WAVES):
            simulate_wave(base_url, canary, dataset, wave, max_tokens)
            if advance_canaries().get(canary) != "running":
                return
