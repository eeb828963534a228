"""Runs, seen through the API; flows are kept in memory here and run for real in `tests/flows`."""

from datetime import UTC, datetime

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.api.run_requests import CanaryRequest, TuningCycleRequest
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.store import RunStore
from gateway_tuning.storage.tables import datasets
from tests.api.conftest import PREFIX
from tests.orchestrator import MemoryOrchestrator


@pytest.fixture
def orchestrator():
    return MemoryOrchestrator()


@pytest.fixture
def things(services):
    """A dataset, and a model with a stable version and a candidate, of the tenant `default`."""
    now = datetime.now(UTC)
    with services.engine.begin() as connection:
        row = {
            "build_key": "k",
            "tenant": "default",
            "watermark": 1,
            "manifest_sha256": "0",
            "created_at": now,
        }
        connection.execute(datasets.insert().values(id="ds-1", **row))
    registry = Registry(services.engine)
    for id_ in ("assistant@0", "assistant@1"):
        registry.register(
            ModelVersion(
                id=id_, tenant="default", model="assistant", base_model="b", provider="llama", created_at=now
            )
        )
    registry.point("assistant", "stable", "assistant@0", reason="a test", now=now)


BODIES = {
    "datasets": {},
    "training-jobs": {"dataset_id": "ds-1"},
    "evaluations": {"candidate": "assistant@1", "baseline": "assistant@0", "dataset_id": "ds-1"},
    "drift-checks": {"dataset_id": "ds-1", "stable": "assistant@0"},
    "tuning-cycles": {},
    "deployments/canary": {"candidate": "assistant@1"},
}


@pytest.mark.parametrize(
    ("path", "deployment"),
    [
        ("datasets", "build-dataset/build-dataset"),
        ("training-jobs", "train-model/train-model"),
        ("evaluations", "evaluate-model/evaluate-model"),
        ("drift-checks", "check-drift/check-drift"),
        ("tuning-cycles", "tuning-cycle/tuning-cycle"),
    ],
)
def test_what_is_asked_for_is_started_and_followed(client_for, things, orchestrator, path, deployment):
    admin = client_for()

    asked = admin.post(f"{PREFIX}/{path}", json=BODIES[path])
    run = asked.json()
    orchestrator.turn(f"o-{run['id']}", RunStatus.RUNNING)
    seen = admin.get(asked.headers["location"]).json()

    assert asked.status_code == 202
    assert run["status"] == "queued"
    assert asked.headers["location"] == f"{PREFIX}/runs/{run['id']}"
    assert orchestrator.started[run["id"]][0] == deployment
    assert orchestrator.started[run["id"]][2] == (f"run:{run['id']}",)
    assert seen["status"] == "running"


@pytest.mark.parametrize("path", [path for path in BODIES if BODIES[path]])
def test_what_belongs_to_another_tenant_is_not_found(client_for, things, orchestrator, path):
    refused = client_for(Role.MODEL_ADMIN, "globex").post(f"{PREFIX}/{path}", json=BODIES[path])

    assert refused.status_code == 404
    assert orchestrator.started == {}


def test_the_name_of_another_tenants_model_is_taken(client_for, things):
    refused = client_for(Role.MODEL_ADMIN, "globex").post(f"{PREFIX}/tuning-cycles", json={})

    assert refused.status_code == 409
    assert "choose another name" in refused.json()["detail"]


def test_the_tenant_is_the_callers_whatever_the_body_says(client_for, things, orchestrator):
    stranger = client_for(Role.MODEL_ADMIN, "globex")

    refused = stranger.post(f"{PREFIX}/tuning-cycles", json={"tenant": "default"})
    run = stranger.post(f"{PREFIX}/tuning-cycles", json={"model": "globex-bot"}).json()
    dataset = stranger.post(f"{PREFIX}/datasets", json={}).json()

    assert refused.status_code == 422
    assert orchestrator.started[run["id"]][1]["plan"]["tenant"] == "globex"
    assert orchestrator.started[dataset["id"]][1]["tenant"] == "globex"


def test_a_manager_cannot_put_a_model_before_users_by_way_of_a_cycle(
    client_for, services, start_server, api_settings, orchestrator
):
    run = client_for(Role.MODEL_MANAGER).post(
        f"{PREFIX}/tuning-cycles", json={"gate": {"requires_approval": False}}
    )

    assert orchestrator.started[run.json()["id"]][1]["plan"]["gate"]["requires_approval"] is True


def test_the_same_key_and_body_give_the_same_run_and_another_body_is_a_conflict(
    client_for, things, orchestrator, services
):
    admin = client_for()
    key = {"idempotency-key": "k-1"}
    body = {"dataset_id": "ds-1"}

    first = admin.post(f"{PREFIX}/training-jobs", json=body, headers=key)
    with services.engine.begin() as connection:
        connection.execute(datasets.update().values(retired_at=datetime.now(UTC)))
    again = admin.post(f"{PREFIX}/training-jobs", json=body, headers=key)
    other = admin.post(f"{PREFIX}/training-jobs", json=body | {"model": "b"}, headers=key)
    elsewhere = admin.post(f"{PREFIX}/datasets", json={}, headers=key)
    gone = admin.post(f"{PREFIX}/training-jobs", json=body)

    assert first.json()["id"] == again.json()["id"]
    assert len(orchestrator.started) == 1
    assert (other.status_code, elsewhere.status_code, gone.status_code) == (409, 409, 410)


def test_an_orchestrator_that_is_away_is_503_and_the_same_key_goes_on_later(
    client_for, orchestrator, services
):
    admin = client_for()
    key = {"idempotency-key": "k-1"}
    orchestrator.answers = False

    away = admin.post(f"{PREFIX}/datasets", json={}, headers=key)
    (intent,) = admin.get(f"{PREFIX}/runs").json()["items"]
    orchestrator.answers = True
    back = admin.post(f"{PREFIX}/datasets", json={}, headers=key)

    assert away.status_code == 503
    assert away.headers["retry-after"]
    assert intent["id"] in away.json()["detail"]
    assert "same Idempotency-Key" in away.json()["detail"]
    assert (back.status_code, back.json()["id"]) == (202, intent["id"])


def test_a_run_is_shown_as_last_known_while_the_orchestrator_is_away(client_for, orchestrator):
    admin = client_for()
    run = admin.post(f"{PREFIX}/datasets", json={}).json()
    orchestrator.answers = False

    shown = admin.get(f"{PREFIX}/runs/{run['id']}")

    assert shown.status_code == 200
    assert shown.json()["status"] == "queued"
    assert "does not answer" in shown.json()["message"]


def test_a_finished_run_links_to_what_it_made(client_for, services):
    admin = client_for()
    run = admin.post(f"{PREFIX}/datasets", json={}).json()
    now = datetime.now(UTC)
    RunStore(services.engine).note(run["id"], RunStatus.SUCCEEDED, result_id="ds-9", now=now)

    shown = admin.get(f"{PREFIX}/runs/{run['id']}").json()

    assert (shown["status"], shown["result"]) == ("succeeded", f"{PREFIX}/datasets/ds-9")


def test_a_run_is_cancelled_and_its_start_and_end_are_audited_once(client_for, orchestrator):
    admin = client_for()
    key = {"idempotency-key": "k-1"}
    run = admin.post(f"{PREFIX}/datasets", json={}, headers=key).json()
    admin.post(f"{PREFIX}/datasets", json={}, headers=key)

    cancelled = admin.post(f"{PREFIX}/runs/{run['id']}/cancel").json()
    entries = admin.get(f"{PREFIX}/audit").json()["items"]

    assert cancelled["status"] == "cancelled"
    assert orchestrator.read(f"o-{run['id']}").status is RunStatus.CANCELLED
    assert [(entry["action"], entry["object_id"]) for entry in entries] == [
        ("run.cancel", run["id"]),
        ("run.start", run["id"]),
    ]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("datasets", {"recipe": {"version": 1}}, "no longer built"),
        ("datasets", {"watermark": -1}, "greater than or equal to 0"),
        ("training-jobs", {"dataset_id": "ds-1", "training": {"provider": "nobody"}}, "there are: "),
        ("training-jobs", {"dataset_id": "ds-1", "model": "../up"}, "pattern"),
        ("deployments/canary", {"candidate": "v", "PromotionThreshold": 95}, "less than or equal to 1"),
        ("deployments/canary", {"candidate": "v", "MetricsToMonitor": ["Toxicity"]}, "error_rate, latency"),
        ("deployments/canary", {"candidate": "v", "InitialPercentage": 51}, "less than or equal to 50"),
        ("deployments/canary", {"candidate": "v", "policy": {}, "InitialPercentage": 5}, "not both"),
        ("deployments/canary", {"candidate": "v", "policy": {}, "MetricsToMonitor": ["Latency"]}, "not both"),
        ("deployments/canary", {"candidate": "v", "DeployedBy": "me"}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(client_for, path, body, told):
    refused = client_for().post(f"{PREFIX}/{path}", json=body)

    assert refused.status_code == 422
    assert told in str(refused.json()["errors"])


def test_templates_of_the_orchestrator_are_parameters_of_nobody(client_for, things):
    parameters = {
        "hyperparameters": {"x": {"__prefect_kind": "workspace_variable", "variable_name": "secret"}}
    }

    refused = client_for().post(
        f"{PREFIX}/training-jobs", json={"dataset_id": "ds-1", "training": parameters}
    )

    assert refused.status_code == 422
    assert "__prefect_kind" in refused.text


def test_names_of_the_other_api_mean_the_same_canary():
    asked = CanaryRequest.model_validate(
        {
            "ModelId": "assistant@1",
            "BaselineDeploymentId": "assistant@0",
            "InitialPercentage": 10,
            "EvaluationPeriod": "01:30:00",
            "PromotionThreshold": 0.9,
            "MetricsToMonitor": ["ErrorRate", "latency_ms", "Latency"],
        }
    )

    assert (asked.candidate, asked.control) == ("assistant@1", "assistant@0")
    assert asked.metrics_to_monitor == ("error_rate", "latency")
    assert asked.resolved_policy == CanaryPolicy(
        stages=(0.1, 0.25, 0.5),
        stage_seconds=5400,
        promotion_threshold=0.9,
        metrics_to_monitor=("error_rate", "latency"),
    )


def test_a_cycle_can_be_asked_for_with_every_choice_of_its_plan_but_the_tenant():
    assert TuningCycleRequest.model_fields.keys() == CyclePlan.model_fields.keys() - {"tenant"}
    assert TuningCycleRequest().plan("acme") == CyclePlan(tenant="acme")
