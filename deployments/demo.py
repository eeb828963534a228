"""`python -m deployments.demo FEEDBACK`: the demo with its own Prefect server, store and object storage.

Everything lies in a folder named after the input, so that the same input continues where it was and another
one starts afresh.
"""

import argparse
import hashlib
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deployments.embedded_server import embedded_server
from gateway_tuning.cycles.plan import CyclePlan, TrainingPlan
from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.feedback.reading import input_files
from gateway_tuning.rollout.policy import CanaryPolicy, MetricMargins

# A demo has minutes, a few hundred simulated users and two busy cores: a short canary with wide margins.
DEMO_CANARY = CanaryPolicy(
    stages=(0.3, 0.5),
    stage_seconds=0,
    # A tenth of so few answers is scored: too little to judge relevance by.
    metrics_to_monitor=("error_rate", "latency", "user_feedback", "token_count"),
    min_users=5,
    min_requests=30,
    min_rated_users=30,
    margins=MetricMargins(
        error_rate=0.15, latency=1.0, slow_share=0.5, user_feedback=0.15, token_count=1.0, feedback_rate=0.5
    ),
)
DEMO_EVALUATION = EvaluationSettings(max_examples=48, max_tokens=80)

console = Console(highlight=False)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="gateway-tuning demo")
    parser.add_argument("feedback", type=Path)
    parser.add_argument("--mapping", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--max-steps", type=int, help="Fewer training steps: a quicker, weaker run")
    parser.add_argument("--max-tokens", type=int, help="Shorter answers: quicker, and cut off")
    options = parser.parse_args(arguments)
    hyperparameters = {} if options.max_steps is None else {"max_steps": options.max_steps}
    evaluation = DEMO_EVALUATION
    if options.max_tokens is not None:
        evaluation = evaluation.model_copy(update={"max_tokens": options.max_tokens})
    plan = CyclePlan(
        training=TrainingPlan(hyperparameters=hyperparameters), evaluation=evaluation, canary=DEMO_CANARY
    )
    try:
        return run(options.feedback, options.mapping, options.folder, plan)
    except GatewayTuningError as error:
        console.print(f"[red]{error}[/red]")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on where this one was.")
        return 130


def run(feedback: Path, mapping: Path | None, folder: Path, plan: CyclePlan) -> int:
    home = folder / "runs" / input_name(feedback, mapping)
    os.environ["GATEWAY_TUNING_HOME"] = str(home)
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"
    os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
    console.print(f"[bold]Tuning demo[/bold] on {feedback}, in {home}", soft_wrap=True)
    started = time.monotonic()
    with embedded_server(home / "prefect"):
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        from flows.run_demo import run_demo

        logging.getLogger("gateway_tuning").addHandler(Progress())
        server_seconds = time.monotonic() - started
        try:
            # Heartbeats serve runs on other machines and cost a second a flow.
            with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
                summary = run_demo(feedback.resolve(), mapping and mapping.resolve(), plan, folder.resolve())
        finally:
            send_what_waits()
    show(summary, folder, {"Prefect start": server_seconds}, time.monotonic() - started)
    return 0


def send_what_waits() -> None:
    """Let Prefect send its last logs and events: after the server has gone it would wait for it without end."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=10)


def input_name(feedback: Path, mapping: Path | None) -> str:
    digest = hashlib.sha256()
    for name, file in input_files(feedback):
        digest.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    if mapping is not None:
        digest.update(mapping.read_bytes())
    return digest.hexdigest()[:12]


class Progress(logging.Handler):
    """Stages and what happens inside them, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        style = "bold" if hasattr(record, "stage") else "dim"
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        style = "yellow" if record.levelno >= logging.WARNING else style
        console.print(f"{clock} {record.getMessage()}", style=style, markup=False, soft_wrap=True)


def show(summary: dict[str, Any], folder: Path, more_seconds: dict[str, float], total: float) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, text in rows(summary):
        table.add_row(name, text)
    seconds = more_seconds | summary["seconds"]
    table.add_row("seconds", ", ".join(f"{stage} {value:.0f}" for stage, value in seconds.items()))
    table.add_row("", f"{total:.0f} in all, this time")
    console.print()
    console.print(table)
    console.print(f"\n{folder / 'report.html'}\n{folder / 'summary.json'}", soft_wrap=True)


def rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    from gateway_tuning.cycles.report import verdict

    feedback = summary["feedback"]
    imported = feedback["imported"] + feedback["replaced"]
    came = f"{feedback['read']} rows read: {imported} imported, {feedback['duplicates']} known already"
    found = [("feedback", f"{came}, {feedback['quarantined']} quarantined")]
    if dataset := summary["dataset"]:
        counts = ", ".join(f"{split} {sum(kinds.values())}" for split, kinds in dataset["examples"].items())
        found.append(("dataset", f"{dataset['id']}: {counts} examples"))
    if training := summary["training"]:
        found.append(("candidate", training["version"]))
    if evaluation := summary["evaluation"]:
        found.append((evaluation["primary"].replace("_", " "), _compared(evaluation)))
    if drift := summary["drift"]:
        found.append(("drift", f"{drift['state'].replace('_', ' ')} against {drift['reference']}"))
    if gate := summary["gate"]:
        found += _reasons("gate", gate["decision"], gate["reasons"])
    if canary := summary["canary"]:
        simulated = (
            f" ({canary['simulated_requests']} requests of simulated users)"
            if canary["simulated_requests"]
            else ""
        )
        found += _reasons("canary", canary["decision"].replace("_", " ") + simulated, canary["reasons"])
    return [*found, ("outcome", verdict(summary))]


def _compared(evaluation: dict[str, Any]) -> str:
    """The primary metric of both models."""
    stable, candidate = (
        evaluation[role]["means"].get(evaluation["primary"]) for role in ("stable", "candidate")
    )
    difference = evaluation["difference"]
    if stable is None or candidate is None or difference is None or difference["mean"] is None:
        return "not measured"
    text = f"stable {stable:.3f}, candidate {candidate:.3f}"
    if difference["low"] is None:
        return f"{text}, no interval"
    return f"{text}, difference {difference['mean']:+.3f} ({difference['low']:+.3f} to {difference['high']:+.3f})"


def _reasons(name: str, decision: str, reasons: list[str]) -> list[tuple[str, str]]:
    return [(name, decision), *(("", f"- {reason}") for reason in reasons)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
