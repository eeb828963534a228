"""What the files of deployments/ say, before any server hears of it."""

import json
import re

import kubernetes_validate
import pytest
from prefect.utilities.templating import apply_values, find_placeholders

from deployments.applying.automations import apply_automations
from deployments.applying.blocks import block_data, blocks_of
from deployments.applying.changes import Action, Change, count, differing, merged
from deployments.applying.files import pool_kinds, read_automations, read_blocks, read_pool
from deployments.applying.pools import job_template
from deployments.catalog import entries, wanted
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.settings import Settings

SHARED = {"object_storage_url": "s3://bucket/tuning"}


@pytest.mark.parametrize("kind", pool_kinds())
def test_a_job_template_knows_every_variable_that_it_uses(kind):
    pool = read_pool(kind)
    template = job_template(pool, "/venv/bin/python")

    used = {found.name for found in find_placeholders(template["job_configuration"])}
    known = template["variables"]["properties"]
    assert used <= known.keys()
    assert pool.variables.keys() <= used
    for variables in pool.job_variables_of_tags.values():
        assert variables.keys() <= known.keys()


@pytest.mark.parametrize("kind", pool_kinds())
def test_every_run_logs_to_prefect_and_keeps_results_as_json_in_a_block_that_is_made(kind):
    pool = read_pool(kind)
    env = job_template(pool, "python")["variables"]["properties"]["env"]["default"]

    assert env["PREFECT_LOGGING_EXTRA_LOGGERS"] == "gateway_tuning"
    assert env["PREFECT_RESULTS_DEFAULT_SERIALIZER"] == "json"
    made = {f"{block.type}/{block.name}" for block in blocks_of(read_blocks(), pool)}
    assert env["PREFECT_DEFAULT_RESULT_STORAGE_BLOCK"] in made


@pytest.mark.parametrize("tag", ["trainer", "feedback"])
def test_the_job_that_a_kubernetes_worker_makes_is_valid_and_that_of_training_asks_for_a_gpu(tag):
    pool = read_pool("kubernetes")
    template = job_template(pool, "python")
    values = {
        name: field["default"]
        for name, field in template["variables"]["properties"].items()
        if "default" in field
    }
    values |= pool.job_variables_of_tags.get(tag, {})
    values |= {"labels": {"a": "b"}, "name": "tune", "command": ["python", "-m", "prefect.flow_engine"]}

    job = apply_values(template["job_configuration"]["job_manifest"], values)
    # The worker itself turns the environment into a list.
    pod = job["spec"]["template"]["spec"]
    pod["containers"][0]["env"] = [
        {"name": key, "value": value} for key, value in pod["containers"][0]["env"].items()
    ]
    pod.pop("parallelism", None)  # Prefect's template has both a level too deep; the API server drops them
    pod.pop("completions", None)

    kubernetes_validate.validate(job, "1.30", strict=True)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == (1 if tag == "trainer" else 0)
    assert bool(pod["nodeSelector"]) is (tag == "trainer")


def test_flows_that_train_are_those_that_ask_for_a_gpu():
    pool = read_pool("kubernetes")
    asking = {one.name for one in wanted(pool, None, gpu=True) if one.fields["job_variables"]}

    assert asking == {"train-model", "search-hyperparameters", "tuning-cycle"}
    assert not any(one.fields["job_variables"] for one in wanted(pool, None))


def test_one_machine_runs_one_cycle_at_a_time_and_a_cluster_one_a_node():
    limits = {
        kind: {one.name: one.fields["concurrency_limit"] for one in wanted(read_pool(kind), None)}
        for kind in ("process", "kubernetes")
    }

    assert (limits["process"]["tuning-cycle"], limits["kubernetes"]["tuning-cycle"]) == (1, 8)
    assert limits["kubernetes"]["advance-canaries"] == 1


def test_every_deployment_is_ours_and_has_one_pool_and_a_description():
    for one in wanted(read_pool("process"), None):
        assert one.fields["tags"][0] == "gateway-tuning"
        assert one.fields["work_pool_name"] == "tuning"
        assert one.fields["description"]


def test_schedules_of_one_interval_do_not_all_start_at_once():
    anchors = [
        one.schedules["interval"]["anchor_date"]
        for one in wanted(read_pool("process"), None)
        if one.schedules.get("interval", {}).get("interval") == 300
    ]

    assert len(set(anchors)) == len(anchors) > 3


class Nobody:
    """A server that has nothing yet."""

    def ask(self, method, path, body=None):
        assert path == "/automations/filter", "a dry run changes nothing"
        return self

    is_error = False
    status_code = 200

    def json(self):
        return []


def test_every_automation_is_named_as_ours_and_starts_a_deployment_that_exists():
    names = {entry["name"]: "00000000-0000-4000-8000-000000000000" for entry in entries()}

    changes = apply_automations(Nobody(), read_automations(), names, dry_run=True)

    assert [change.action for change in changes] == [Action.CREATED] * 4
    for file in read_automations():
        assert file["name"].startswith("gateway-tuning: ")
        assert {action["deployment"] for action in file["actions"]} <= names.keys()


def test_no_template_of_an_automation_is_a_bare_string():
    """Such a one is only refused when the automation fires, on the server."""
    for file in read_automations():
        for action in file["actions"]:
            for value in action.get("parameters", {}).values():
                assert value["__prefect_kind"] in {"jinja", "json"}


def test_blocks_name_places_and_no_secrets(tmp_path):
    settings = Settings(_env_file=None, home=tmp_path, **SHARED)

    told = json.dumps([block_data(block, settings) for block in read_blocks()])

    assert str(tmp_path / "prefect-results") in told
    assert "s3://bucket/tuning/prefect-results" in told
    assert not re.search(r"secret|password|token", told.replace(str(tmp_path), ""), re.IGNORECASE)


def test_runs_of_a_cluster_cannot_keep_results_on_a_disk_of_their_own(tmp_path):
    (block,) = blocks_of(read_blocks(), read_pool("kubernetes"))

    with pytest.raises(ConfigurationError, match="GATEWAY_TUNING_OBJECT_STORAGE_URL"):
        block_data(block, Settings(_env_file=None, home=tmp_path))


def test_a_pool_without_a_file_is_refused_with_those_that_have_one():
    with pytest.raises(ConfigurationError, match="--pool takes kubernetes or process"):
        read_pool("docker")


def test_merging_goes_into_objects_and_replaces_lists():
    assert merged({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2]}, "e": 3}) == {
        "a": {"b": 1, "c": [2]},
        "d": 2,
        "e": 3,
    }


def test_only_what_is_wanted_is_compared():
    assert differing({"a": 1, "b": 2}, {"a": 1, "b": 3, "paused": True}) == ("b",)
    changes = [Change("block", "x", Action.CREATED), Change("block", "y", Action.UNCHANGED)]
    assert {action: number for action, number in count(changes).items() if number} == {
        Action.CREATED: 1,
        Action.UNCHANGED: 1,
    }
