"""What prefect.yaml says, held against the flows and against a real Prefect server."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from gateway_tuning.processes import free_port

ROOT = Path(__file__).parents[2]


def entries():
    from deployments.catalog import entries

    return entries()


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["name"])
def test_every_entry_names_a_flow_that_loads_for_real(entry):
    from prefect.flows import load_flow_from_entrypoint

    flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)

    assert flow.name == entry["name"]
    assert flow.fn.__module__ == entry["entrypoint"].rpartition(".")[0]


def test_every_flow_of_the_loop_is_a_deployment():
    flows = {path.stem for path in (ROOT / "flows").glob("[!_]*.py")} - {"run_demo"}

    assert {entry["entrypoint"].split(".")[1] for entry in entries()} == flows


def call(url, body=None):
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = condition()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """`gateway-tuning serve-flows` as a person would start it; yields the URL of its Prefect API."""
    home = tmp_path_factory.mktemp("served")
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    with (home / "output.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway_tuning.cli", "serve-flows", "--port", str(port)],
            cwd=ROOT,
            env=environment | {"GATEWAY_TUNING_HOME": str(home)},
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}/api"
    try:
        wait_for(lambda: len(call(f"{url}/deployments/filter", {})) == len(entries()))
        yield url
    finally:
        process.terminate()
        process.wait(30)


def deployment(url, name):
    return next(found for found in call(f"{url}/deployments/filter", {}) if found["name"] == name)


@pytest.mark.slow
def test_every_schedule_really_gets_runs(served):
    scheduled = {entry["name"] for entry in entries() if entry.get("schedules")}

    def with_runs():
        runs = call(f"{served}/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}})
        found = {run["deployment_id"] for run in runs}
        return scheduled if found >= {deployment(served, name)["id"] for name in scheduled} else None

    assert scheduled == {"tuning-cycle", "advance-canaries"}
    assert wait_for(with_runs) == scheduled


@pytest.mark.slow
def test_the_cycle_shows_a_typed_form_with_descriptions(served):
    schema = deployment(served, "tuning-cycle")["parameter_openapi_schema"]

    plan = schema["definitions"]["CyclePlan"]["properties"]
    assert schema["properties"]["plan"]["description"].startswith("every choice")
    assert {"recipe", "training", "evaluation", "drift", "gate", "canary"} <= plan.keys()
    assert "description" in schema["definitions"]["DatasetRecipe"]["properties"]["max_records"]


@pytest.mark.slow
def test_a_run_started_by_hand_comes_to_its_end(served):
    run = call(f"{served}/deployments/{deployment(served, 'tuning-cycle')['id']}/create_flow_run", {})

    def ended():
        state = call(f"{served}/flow_runs/{run['id']}")["state"]
        return state if state["type"] in {"COMPLETED", "FAILED", "CRASHED"} else None

    # Without feedback the dataset is too small: a result, not a failure.
    assert wait_for(ended, 150)["type"] == "COMPLETED"


@pytest.mark.slow
def test_prefect_deploys_the_file_to_a_work_pool_and_a_worker_runs_a_flow(served, tmp_path):
    environment = os.environ | {"PREFECT_API_URL": served, "GATEWAY_TUNING_HOME": str(tmp_path)}

    def prefect(*arguments):
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    prefect("work-pool", "create", "tuning", "--type", "process", "--overwrite")
    prefect("deploy", "--all")
    assert {found["work_pool_name"] for found in call(f"{served}/deployments/filter", {})} == {"tuning"}

    run = call(f"{served}/deployments/{deployment(served, 'advance-canaries')['id']}/create_flow_run", {})
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "tuning", "--run-once"]
    subprocess.run(worker, cwd=ROOT, env=environment, capture_output=True, timeout=120, check=True)

    def ended():
        state = call(f"{served}/flow_runs/{run['id']}")["state"]
        return state if state["type"] in {"COMPLETED", "FAILED", "CRASHED"} else None

    assert wait_for(ended)["type"] == "COMPLETED"
