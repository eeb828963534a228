"""What prefect.yaml says, held against the flows and against a real Prefect server."""

import os
import subprocess
import sys

import pytest

from tests.flows.conftest import ROOT, call, wait_for


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


@pytest.mark.slow
def test_every_schedule_really_gets_runs(served):
    scheduled = {entry["name"] for entry in entries() if entry.get("schedules")}

    def with_runs():
        runs = call(
            f"{served.url}/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
        )
        found = {run["deployment_id"] for run in runs}
        return scheduled if found >= {served.deployment(name)["id"] for name in scheduled} else None

    assert scheduled == {
        "tuning-cycle",
        "advance-canaries",
        "check-threshold",
        "enrich-feedback",
        "erase-subject",
        "reconcile-jobs",
        "watch-drift",
    }
    assert wait_for(with_runs) == scheduled


@pytest.mark.slow
def test_the_cycle_shows_a_typed_form_with_descriptions(served):
    schema = served.deployment("tuning-cycle")["parameter_openapi_schema"]

    plan = schema["definitions"]["CyclePlan"]["properties"]
    assert schema["properties"]["plan"]["description"].startswith("every choice")
    assert {"recipe", "training", "evaluation", "drift", "gate", "canary"} <= plan.keys()
    assert "description" in schema["definitions"]["DatasetRecipe"]["properties"]["max_records"]


@pytest.mark.slow
def test_a_run_started_by_hand_comes_to_its_end(served):
    # Without feedback the dataset is too small: a result, not a failure.
    assert served.run("tuning-cycle")["type"] == "COMPLETED"


def automations(served):
    """What starts a deployment, and on which event."""
    found = call(f"{served.url}/automations/filter", {})
    return sorted((one["trigger"]["expect"], one["actions"][0]["deployment_id"]) for one in found)


@pytest.mark.slow
def test_serving_creates_the_automation_of_the_threshold(served):
    cycle = served.deployment("tuning-cycle")["id"]

    assert automations(served) == [(["feedback.threshold-reached"], cycle)]


@pytest.mark.slow
def test_prefect_deploys_the_file_to_a_work_pool_and_a_worker_runs_a_flow(served, tmp_path):
    environment = os.environ | {"PREFECT_API_URL": served.url, "GATEWAY_TUNING_HOME": str(tmp_path)}

    def prefect(*arguments):
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    prefect("work-pool", "create", "tuning", "--type", "process", "--overwrite")
    prefect("deploy", "--all")
    assert {found["work_pool_name"] for found in call(f"{served.url}/deployments/filter", {})} == {"tuning"}

    cycle = served.deployment("tuning-cycle")["id"]
    assert automations(served) == [(["feedback.threshold-reached"], cycle)]

    id_ = served.deployment("advance-canaries")["id"]
    run = call(f"{served.url}/deployments/{id_}/create_flow_run", {})
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "tuning", "--run-once"]
    subprocess.run(worker, cwd=ROOT, env=environment, capture_output=True, timeout=120, check=True)

    assert wait_for(lambda: served.ended(run["id"]))["type"] == "COMPLETED"
