"""Approvals, seen through the API."""

from datetime import UTC, datetime

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.api.services import build_services
from gateway_tuning.cycles.cycle import CycleStatus
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.evaluation.store import EvaluationStore, StoredEvaluation
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.runs.approvals import ApprovalStore
from tests.api.conftest import PREFIX
from tests.orchestrator import MemoryOrchestrator
from tests.unit.evaluation.earlier import stored

CANARY = {"candidate": "assistant@1"}


@pytest.fixture
def orchestrator():
    return MemoryOrchestrator()


@pytest.fixture(autouse=True)
def versions(engine):
    now = datetime.now(UTC)
    registry = Registry(engine)
    for id_ in ("assistant@0", "assistant@1"):
        registry.register(
            ModelVersion(
                id=id_, tenant="default", model="assistant", base_model="b", provider="llama", created_at=now
            )
        )
    registry.point("assistant", "stable", "assistant@0", reason="a test", now=now)


@pytest.fixture
def pending(client_for):
    """A canary that an administrator asked for: who asked, the run and its approval."""
    requester = client_for()
    run = requester.post(f"{PREFIX}/deployments/canary", json=CANARY).json()
    (approval,) = requester.get(f"{PREFIX}/approvals?state=pending").json()["items"]
    return requester, run, approval


def decide(client, approval, decision="approve", **more):
    return client.post(f"{PREFIX}/approvals/{approval['id']}", json={"decision": decision, **more})


def test_a_canary_waits_for_another_administrator_and_then_starts(pending, client_for, orchestrator):
    _, run, approval = pending
    assert run["status"] == "awaiting_approval"
    assert approval["awaited_id"] == run["id"]
    assert approval["reasons"] == ["no evaluation of assistant@1 against assistant@0 is known"]
    assert orchestrator.started == {}

    decided = decide(client_for(), approval, comment="looks good").json()

    assert (decided["state"], decided["comment"], decided["run"]["status"]) == (
        "approved",
        "looks good",
        "queued",
    )
    deployment, parameters, _ = orchestrator.started[run["id"]]
    assert deployment == "start-canary/start-canary"
    assert parameters["candidate"] == "assistant@1"
    assert parameters["control"] == "assistant@0"
    assert parameters["canary_id"] == f"canary-{run['id']}"


def test_whoever_approves_is_told_what_the_last_evaluation_found(client_for, engine):
    evaluation = StoredEvaluation(
        "eval-1", "default", "assistant", "assistant@1", "assistant@0", "ds-1", stored(), datetime.now(UTC)
    )
    EvaluationStore(engine).add(evaluation)
    requester = client_for()

    requester.post(f"{PREFIX}/deployments/canary", json=CANARY)
    (approval,) = requester.get(f"{PREFIX}/approvals?state=pending").json()["items"]

    assert approval["reasons"] == [
        "evaluation eval-1 is scored: similarity +0.110 (+0.040 to +0.180)",
        "a reason",
    ]


def test_whoever_asked_is_refused_and_the_attempt_is_audited(pending, orchestrator):
    requester, _, approval = pending

    refused = decide(requester, approval)
    entry = requester.get(f"{PREFIX}/audit").json()["items"][0]

    assert refused.status_code == 403
    assert "another administrator must approve it" in refused.json()["detail"]
    assert (entry["action"], entry["outcome"]) == ("approval.approve", "denied")
    assert orchestrator.started == {}


def test_a_key_that_the_requester_made_is_no_other_administrator(pending, open_client):
    requester, _, approval = pending
    made = requester.post(f"{PREFIX}/api-keys", json={"name": "second hat", "role": "ModelAdmin"}).json()

    assert decide(open_client(made["key"]), approval).status_code == 403


def test_whoever_asked_may_take_it_back(pending, orchestrator):
    requester, _, approval = pending

    rejected = decide(requester, approval, "reject").json()

    assert rejected["state"] == "rejected"
    assert rejected["run"]["status"] == "cancelled"
    assert orchestrator.started == {}


def test_a_manager_neither_sees_nor_decides_approvals(pending, client_for):
    manager = client_for(Role.MODEL_MANAGER)

    assert manager.get(f"{PREFIX}/approvals").status_code == 403
    assert decide(manager, pending[2]).status_code == 403


def test_another_tenant_finds_no_approval(pending, client_for):
    stranger = client_for(Role.MODEL_ADMIN, "globex")

    assert stranger.get(f"{PREFIX}/approvals").json()["items"] == []
    assert decide(stranger, pending[2]).status_code == 404


def test_deciding_twice_changes_nothing_and_deciding_otherwise_is_a_conflict(
    pending, client_for, orchestrator
):
    approver, other = client_for(), client_for()
    first, again = decide(approver, pending[2]), decide(approver, pending[2])
    late = decide(other, pending[2], "reject")

    assert first.status_code == again.status_code == 200
    assert late.status_code == 409
    assert len(orchestrator.started) == 1
    actions = [entry["action"] for entry in approver.get(f"{PREFIX}/audit").json()["items"]]
    assert actions.count("approval.approve") == 1


def test_an_approval_that_could_not_be_carried_out_stands_and_can_be_repeated(
    pending, client_for, orchestrator
):
    approver = client_for()
    orchestrator.answers = False
    away = decide(approver, pending[2])
    orchestrator.answers = True
    back = decide(approver, pending[2])

    assert (away.status_code, back.status_code) == (503, 200)
    assert back.json()["run"]["status"] == "queued"
    assert len(orchestrator.started) == 1


def test_the_canary_of_a_replayed_request_is_approved_once(client_for):
    admin = client_for()
    key = {"idempotency-key": "k"}
    runs = [admin.post(f"{PREFIX}/deployments/canary", json=CANARY, headers=key).json() for _ in range(2)]

    assert runs[0]["id"] == runs[1]["id"]
    assert len(admin.get(f"{PREFIX}/approvals").json()["items"]) == 1


def test_a_cycle_that_waits_goes_on_with_its_own_plan_once_approved(client_for, services, orchestrator):
    now = datetime.now(UTC)
    cycles = CycleStore(services.engine)
    plan = {"model": "assistant", "gate": {"requires_approval": True}}
    cycle = cycles.open(
        tenant="default", model="assistant", plan=plan, watermark=1, incumbent="assistant@0",
        started_by="user:anna", now=now,
    )  # fmt: skip
    ApprovalStore(services.engine).await_for_cycle(
        cycle.id, candidate="assistant@1", reasons=("better",), now=now
    )
    admin = client_for()
    (approval,) = admin.get(f"{PREFIX}/approvals").json()["items"]

    decided = decide(admin, approval).json()

    assert orchestrator.started[decided["run"]["id"]][:2] == ("tuning-cycle/tuning-cycle", {"plan": plan})
    assert cycles.get(cycle.id).status is CycleStatus.RUNNING


def test_a_service_set_up_without_approvals_starts_the_canary_at_once(
    engine, api_settings, orchestrator, start_server, key_for
):
    import httpx

    free = api_settings.model_copy(update={"require_canary_approval": False})
    services = build_services(free, engine, orchestrator=orchestrator)
    key = key_for()[1]
    with httpx.Client(base_url=start_server(services).url, trust_env=False) as client:
        headers = {"authorization": f"Bearer {key}"}
        run = client.post(f"{PREFIX}/deployments/canary", json=CANARY, headers=headers)
        refused = client.post(
            f"{PREFIX}/deployments/canary", json={"candidate": "assistant@0"}, headers=headers
        )
    services.close()

    assert (run.status_code, run.json()["status"]) == (202, "queued")
    assert refused.status_code == 409
