"""Canaries and deployments, seen and steered through the API."""

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.reporting.page import content_policy
from tests.api.conftest import PREFIX
from tests.unit.rollout.reporting.stories import look, start, traffic

CANARY = f"{PREFIX}/canaries/c1"


@pytest.fixture
def waiting(engine):
    """At 10 %, for want of an approval of 50 %."""
    start(engine)
    traffic(engine, 1)
    traffic(engine, 2)
    return look(engine, 2.5)


def entries(client):
    return [(entry["action"], entry["outcome"]) for entry in client.get(f"{PREFIX}/audit").json()["items"]]


@pytest.mark.usefixtures("waiting")
def test_a_canary_says_what_it_awaits_and_what_people_did(client_for):
    admin = client_for()
    before = client_for(Role.MODEL_VIEWER).get(CANARY).json()

    after = admin.post(f"{CANARY}/approve", json={"share": 0.5, "comment": "fine"}).json()

    assert (before["awaits"], before["approved_share"], before["actions"]) == (0.5, 0.1, [])
    assert (after["awaits"], after["approved_share"]) == (None, 1.0)
    assert [(one["action"], one["share"], one["comment"]) for one in after["actions"]] == [
        ("approve", 0.5, "fine")
    ]
    assert entries(admin) == [("canary.approve", "done")]


@pytest.mark.usefixtures("waiting")
def test_so_many_looks_are_shown_as_asked_for_the_newest(client_for, engine):
    look(engine, 3)
    viewer = client_for(Role.MODEL_VIEWER)
    assert [one["look"] for one in viewer.get(CANARY).json()["looks"]] == [1, 2]
    assert [one["look"] for one in viewer.get(f"{CANARY}?looks=1").json()["looks"]] == [2]


def test_whoever_started_it_is_refused_and_the_attempt_is_audited(client_for, open_client, engine):
    starter = client_for()
    who = starter.post(f"{PREFIX}/api-keys", json={"name": "other hat", "role": "ModelAdmin"}).json()
    start(engine, started_by=f"key:{who['id']}")
    hat = open_client(who["key"])

    for client in (hat, starter):
        for action in ("approve", "override"):
            refused = client.post(f"{CANARY}/{action}", json={"share": 0.5})
            assert refused.status_code == 403
            assert "another administrator" in refused.json()["detail"]

    assert entries(starter)[:4] == [
        ("canary.override", "denied"),
        ("canary.approve", "denied"),
        ("canary.override", "denied"),
        ("canary.approve", "denied"),
    ]
    assert CanaryStore(engine).get("c1").approved_share == 0.1


@pytest.mark.usefixtures("waiting")
def test_an_abort_takes_all_users_back_once(client_for, engine):
    admin, other = client_for(), client_for()
    answers = [admin.post(f"{CANARY}/abort", json={"reason": "complaints"}) for _ in range(2)]
    late = other.post(f"{CANARY}/reject", json={})

    assert [answer.status_code for answer in answers] == [200, 200]
    ended = answers[0].json()
    assert (ended["state"], ended["share"]) == ("rolled_back", 0.0)
    assert ended["reasons"][0].endswith("complaints")
    assert late.status_code == 409
    assert entries(admin) == [("canary.abort", "done")]


@pytest.mark.usefixtures("waiting")
def test_rejecting_what_it_awaits_ends_it(client_for):
    ended = client_for().post(f"{CANARY}/reject", json={"comment": "too terse"}).json()
    assert ended["state"] == "rolled_back"
    assert ended["reasons"][0].endswith("too terse")


@pytest.mark.usefixtures("waiting")
def test_an_override_takes_two_administrators(client_for, engine):
    first, second = client_for(), client_for()
    alone = first.post(f"{CANARY}/override", json={"share": 0.5})
    assert alone.status_code == 200
    assert look(engine, 3).share == 0.1

    second.post(f"{CANARY}/override", json={"share": 0.5})

    assert look(engine, 4).share == 0.5


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("action", ["approve", "override"])
def test_a_share_that_is_not_the_next_one_is_a_conflict(client_for, action):
    refused = client_for().post(f"{CANARY}/{action}", json={"share": 0.3})
    assert refused.status_code == 409
    assert "0.5" in refused.json()["detail"]


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("role", [Role.MODEL_VIEWER, Role.MODEL_MANAGER])
def test_only_those_who_may_deploy_steer_a_canary(client_for, role, engine):
    client = client_for(role)
    bodies = {
        "approve": {"share": 0.5},
        "reject": {},
        "abort": {"reason": "x"},
        "override": {"share": 0.5},
    }
    for action, body in bodies.items():
        assert client.post(f"{CANARY}/{action}", json=body).status_code == 403
    assert CanaryStore(engine).get("c1").state == "running"


@pytest.mark.usefixtures("waiting")
def test_the_page_comes_with_a_policy_under_which_a_browser_shows_it(client_for):
    page = client_for(Role.MODEL_VIEWER).get(f"{CANARY}/page")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == f"{content_policy()}; frame-ancestors 'none'"
    assert "Running: 10 % of users are on the candidate" in page.text


@pytest.mark.usefixtures("waiting")
def test_deployments_tell_what_users_meet_and_how_it_came_to_that(client_for):
    viewer = client_for(Role.MODEL_VIEWER)
    (listed,) = viewer.get(f"{PREFIX}/deployments").json()["items"]
    shown = viewer.get(f"{PREFIX}/deployments/m").json()

    assert [(one["version"], one["role"], one["share"]) for one in shown["now"]] == [
        ("m@1", "stable", 0.9),
        ("m@2", "canary", 0.1),
    ]
    assert listed == {"model": "m", "now": shown["now"]}
    assert shown["history"][0]["what"] == "canary c1 against m@1 began"
    assert client_for(Role.MODEL_VIEWER, "globex").get(f"{PREFIX}/deployments").json()["items"] == []
