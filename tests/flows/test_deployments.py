"""What prefect.yaml and the files of deployments/ say, held against the flows and against a real Prefect server."""

import json

import pytest

from tests.flows.conftest import ROOT, call, delete, patch, wait_for


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
    assert served.scheduled == {
        "tuning-cycle",
        "advance-canaries",
        "check-threshold",
        "enrich-feedback",
        "erase-subject",
        "deliver-notices",
        "reconcile-jobs",
        "reconcile-runs",
        "watch-drift",
    }


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
    plan = {"tenant": "hand", "model": "hand-bot"}
    assert served.run("tuning-cycle", plan=plan)["type"] == "COMPLETED"


@pytest.mark.slow
def test_deploying_again_changes_nothing_and_makes_no_doubles(served):
    before = objects(served)

    told = served.command("deploy")

    assert f"Nothing to change: all {len(before)} objects" in told
    assert objects(served) == before
    assert len({name for name, _ in before}) == len(before)


@pytest.mark.slow
def test_what_somebody_changed_is_named_first_and_then_put_right_and_what_he_may_decide_stays(served):
    cycle, drift = served.deployment("tuning-cycle"), automation(served, "drift found")
    ids = objects(served)
    patch(f"{served.url}/deployments/{cycle['id']}", {"description": "mine", "paused": True})
    patch(f"{served.url}/automations/{drift['id']}", {"enabled": True})
    patch(f"{served.url}/work_pools/tuning", {"concurrency_limit": 1})

    named = {
        (one["kind"], one["name"]): one["fields"]
        for one in json.loads(served.command("deploy", "--dry-run", "--json"))
        if one["action"] != "unchanged"
    }
    assert served.deployment("tuning-cycle")["description"] == "mine"
    served.command("deploy")

    assert named == {
        ("work pool", "tuning"): ["concurrency_limit"],
        ("deployment", "tuning-cycle"): ["description"],
    }
    after = served.deployment("tuning-cycle")
    assert (after["description"], after["paused"]) == (cycle["description"], True)
    assert automation(served, "drift found")["enabled"]
    assert objects(served) == ids
    patch(f"{served.url}/deployments/{cycle['id']}", {"paused": False})
    patch(f"{served.url}/automations/{drift['id']}", {"enabled": False})


@pytest.mark.slow
def test_what_stands_in_no_file_any_more_is_removed_and_what_is_not_ours_stays(served):
    flow = call(f"{served.url}/flows/", {"name": "left"})["id"]
    for name, tags in {"left": ["gateway-tuning"], "theirs": ["tuning"]}.items():
        call(f"{served.url}/deployments/", {"name": name, "flow_id": flow, "tags": tags})
    old = automation(served, "drift found") | {"name": "gateway-tuning: of yesterday"}
    call(f"{served.url}/automations/", {key: old[key] for key in ("name", "tags", "trigger", "actions")})

    told = json.loads(served.command("deploy", "--json"))

    assert {(one["kind"], one["name"]) for one in told if one["action"] == "removed"} == {
        ("deployment", "left"),
        ("automation", "gateway-tuning: of yesterday"),
    }
    left = call(f"{served.url}/deployments/filter", {"deployments": {"name": {"any_": ["left", "theirs"]}}})
    assert [one["name"] for one in left] == ["theirs"]
    delete(f"{served.url}/deployments/{left[0]['id']}")


def objects(served):
    """Name and id of all that `deploy` makes."""
    url = served.url
    found = [(f"deployment {one['name']}", one["id"]) for one in call(f"{url}/deployments/filter", {})]
    found += [(one["name"], one["id"]) for one in call(f"{url}/automations/filter", {})]
    found += [(f"pool {one['name']}", one["id"]) for one in call(f"{url}/work_pools/filter", {})]
    found += [(f"block {one['name']}", one["id"]) for one in call(f"{url}/block_documents/filter", {})]
    return sorted(found)


def automation(served, name):
    found = call(f"{served.url}/automations/filter", {})
    return next(one for one in found if one["name"] == f"gateway-tuning: {name}")


@pytest.mark.slow
def test_each_automation_starts_its_deployment(served):
    started = {
        one["name"].removeprefix("gateway-tuning: "): one["actions"][0]["deployment_id"]
        for one in call(f"{served.url}/automations/filter", {})
    }

    assert started == {
        "feedback threshold": served.deployment("tuning-cycle")["id"],
        "drift found": served.deployment("tuning-cycle")["id"],
        "run failed": served.deployment("report-failure")["id"],
        "silent run": served.deployment("reconcile-runs")["id"],
    }


@pytest.mark.slow
def test_a_run_that_fails_becomes_a_notice_and_that_notice_none(served):
    """The dataset does not exist. A notice that failed must not tell of itself without end."""
    assert served.run("train-model", dataset_id="ds-none")["type"] == "FAILED"

    (notice,) = wait_for(lambda: notices_of(served, "train-model"), 120)
    assert (notice["parameters"]["flow_name"], notice["parameters"]["state"]) == ("train-model", "Failed")
    assert notice["parameters"]["flow_run_id"] in {run["id"] for run in served.runs("train-model")}
    assert wait_for(lambda: served.ended(notice["id"]), 400)["type"] == "COMPLETED"


def notices_of(served, flow):
    return [run for run in served.runs("report-failure") if run["parameters"]["flow_name"] == flow]
