"""A cycle at a Prefect server of its own, run as a process: what it logged and showed there ends in a file."""

import json
import os
import sys
import time
import urllib.request
from pathlib import Path

MODEL, BASE = "assistant", "our-base-7b"
STAGES = ("dataset", "train", "evaluate", "drift", "gate", "canary")


def main(chat_url: str, gateway_url: str, words: str, out: str) -> None:
    from deployments.embedded_server import embedded_server

    with embedded_server(Path(os.environ["GATEWAY_TUNING_HOME"]) / "prefect") as url:
        cycle_id = _cycle(chat_url, gateway_url, words)
        time.sleep(3)  # Prefect hands logs over every two seconds
        Path(out).write_text(json.dumps({"cycle": cycle_id, **_shown(url)}))


def _cycle(chat_url: str, gateway_url: str, words: str) -> str:
    from prefect import flow

    from flows.build_dataset import build_dataset
    from flows.check_drift import check_drift
    from flows.decide_gate import decide_gate
    from flows.deliver_notices import deliver_notices
    from flows.evaluate_model import evaluate_model
    from flows.report_failure import report_failure
    from flows.start_canary import start_canary
    from flows.train_model import train_model
    from flows.watch_drift import watch_drift
    from gateway_tuning.cycles.plan import CyclePlan, TrainingPlan
    from gateway_tuning.evaluation.settings import EvaluationSettings
    from gateway_tuning.registry.endpoint import Endpoint
    from gateway_tuning.rollout.actions import CanaryActions
    from gateway_tuning.rollout.policy import CanaryPolicy
    from gateway_tuning.training.watching import asking
    from tasks import cycles, rollout
    from tasks.runtime import now, runtime
    from tests.unit.training.watching.scripted import Clock

    asking.TIME = Clock().time  # no waiting between two looks at the job
    plan = CyclePlan(
        model=MODEL,
        training=TrainingPlan(provider="custom", base_model=BASE),
        evaluation=EvaluationSettings(metrics=("similarity",), resamples=1_000, slices=("length",)),
        canary=CanaryPolicy(stages=(0.5,), approve_before=(0.5,)),
    )
    deliver_notices()

    @flow(name="tuning-cycle")
    def tuning_cycle():
        cycle = cycles.open_cycle(plan)
        with cycles.hold(cycle) as run:
            dataset = run("dataset", build_dataset, plan.tenant, plan.recipe, cycle.watermark)
            candidate = run("train", train_model, dataset.id, MODEL, plan.training)
            for version in (candidate.id, cycle.incumbent):
                runtime().registry.set_endpoint(version, Endpoint(chat_url, version), now=now())
            asked = (candidate.id, cycle.incumbent, dataset.id, plan.evaluation)
            evaluation = run("evaluate", evaluate_model, *asked)
            drift = run("drift", check_drift, dataset.id, cycle.incumbent, plan.drift)
            run("gate", decide_gate, evaluation.id, drift.id, plan.gate)
            canary = f"canary-{cycle.id}"
            run("canary", start_canary, canary, MODEL, candidate.id, cycle.incumbent, plan.canary)
            return cycles.enter_canary(cycle.id)

    cycle = tuning_cycle()
    canary = f"canary-{cycle.id}"
    CanaryActions(runtime().engine).approve(canary, share=0.5, by="user:ops", comment=None, now=now())
    _chat(gateway_url, words)

    @flow(name="advance-canaries")
    def advance():
        rollout.advance_canary(canary)
        CanaryActions(runtime().engine).abort(canary, by="user:ops", reason="enough", now=now())
        rollout.advance_canary(canary)

    advance()
    watch_drift()
    flow(name="fails")(lambda: _fail(words))()
    report_failure("00000000-0000-4000-8000-000000000009", "tuning-cycle", "Failed")
    deliver_notices()
    return cycle.id


def _fail(words: str) -> None:
    """What is logged of an error that quotes a user."""
    import logging

    error = ValueError(words)
    logging.getLogger("gateway_tuning.cycle").error("it failed: %s", error, exc_info=error)


def _chat(gateway_url: str, words: str) -> None:
    deadline = time.monotonic() + 10
    answered = 0
    while answered < 10 and time.monotonic() < deadline:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": words}],
            "user": f"{words} {answered}",
        }
        request = urllib.request.Request(
            f"{gateway_url}/v1/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answered += answer.status == 200
        except OSError:
            time.sleep(0.2)  # its routes are not there yet


def _shown(url: str) -> dict:
    """Everything that Prefect's server keeps of the runs."""
    listed = {what: _all(f"{url}/{what}/filter") for what in ("logs", "artifacts", "flow_runs", "task_runs")}
    return {**listed, "events": _events(f"{url}/events")}


def _all(url: str) -> list:
    found: list = []
    while True:
        page = _call(url, {"limit": 200, "offset": len(found)})
        found += page
        if len(page) < 200:
            return found


def _events(url: str) -> list:
    page = _call(f"{url}/filter", {"limit": 50})
    found = page["events"]
    while page["next_page"]:
        page = _call(page["next_page"])
        found += page["events"]
    return found


def _call(url: str, body: dict | None = None):
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    main(*sys.argv[1:])
