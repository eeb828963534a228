"""A canary on its page: seen by viewers, decided on by administrators with a reason."""

import re

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.rollout.canary_store import CanaryStore
from tests.api.conftest import PREFIX
from tests.api.dashboard.conftest import HOME
from tests.unit.rollout.reporting.stories import look, start, traffic

CANARY = f"{HOME}/canaries/c1"
DECISIONS = f"{CANARY}/decisions"


@pytest.fixture
def waiting(engine):
    """At 10 %, for want of an approval of 50 %."""
    start(engine)
    traffic(engine, 1)
    traffic(engine, 2)
    return look(engine, 2.5)


def buttons(page):
    return re.findall(r'<button name="decision" value="([^"]+)"', page.text)


@pytest.mark.usefixtures("waiting")
def test_it_shows_who_is_on_the_candidate_what_is_missing_and_every_metric(signed_in):
    browser = signed_in(Role.MODEL_VIEWER)
    page, listed = browser.get(CANARY), browser.get(f"{HOME}/canaries")

    assert "Running: 10 % of users are on the candidate" in page.text
    assert "Next: a share of 50 %" in page.text
    assert "awaits the approval of a person" in page.text
    for metric in ("Errors", "Latency", "User feedback", "Tokens of an answer"):
        assert re.search(rf"<h3>{metric} .*?</h3>\s*<svg", page.text), metric
    assert 'data-live="' in page.text
    assert '<meta http-equiv="refresh"' in page.text
    assert re.search(r'href="/dashboard/canaries/c1".*?running.*?10 %', listed.text, re.DOTALL)


@pytest.mark.usefixtures("waiting")
def test_what_it_costs_is_added_up_when_somebody_asks_and_not_again_and_again(signed_in):
    browser = signed_in(Role.MODEL_VIEWER)
    live, asked = browser.get(CANARY).text, browser.get(f"{CANARY}?costs=true").text

    assert "Tokens written" not in live
    assert 'href="?costs=true"' in live
    assert "Tokens written" in asked
    assert "data-live" not in asked


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("role", [Role.MODEL_VIEWER, Role.MODEL_MANAGER])
def test_who_may_not_put_models_before_users_sees_no_button_and_is_refused_all_the_same(
    signed_in, role, engine
):
    browser = signed_in(role)
    page = browser.get(CANARY)
    token = re.search(r'name="form_token" value="([^"]+)"', page.text)[1]

    refused = browser.client.post(
        DECISIONS, data={"form_token": token, "reason": "because", "decision": "abort"}
    )

    assert buttons(page) == []
    assert refused.status_code == 403
    assert CanaryStore(engine).get("c1").state == "running"


@pytest.mark.usefixtures("waiting")
def test_an_administrator_approves_with_a_reason_that_is_kept_and_audited(signed_in, client_for, engine):
    browser = signed_in()
    page = browser.get(CANARY)
    assert buttons(page) == ["approve 0.5", "reject", "abort", "override 0.5"]

    sent = browser.send(page, DECISIONS, decision="approve 0.5", reason="figures are fine")
    after = browser.get(sent.headers["location"])

    assert CanaryStore(engine).get("c1").approved_share == 1.0
    assert "Approved. The canary goes on at its next look." in after.text
    assert "figures are fine" in after.text
    assert buttons(after) == ["abort", "override 0.5"]
    assert [one["action"] for one in client_for().get(f"{PREFIX}/audit").json()["items"]] == [
        "canary.approve"
    ]


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"decision": "abort", "reason": "   "}, 422),
        ({"decision": "promote", "reason": "why not"}, 422),
        ({"decision": "approve nan", "reason": "why not"}, 422),
        ({"decision": "approve 2", "reason": "why not"}, 422),
        ({"decision": "approve 0.3", "reason": "seen on an old page"}, 409),
    ],
)
def test_a_decision_without_a_reason_or_about_another_step_changes_nothing(signed_in, engine, fields, status):
    browser = signed_in()

    answer = browser.send(browser.get(CANARY), DECISIONS, **fields)

    assert answer.status_code == status
    unchanged = CanaryStore(engine).get("c1")
    assert (unchanged.state, unchanged.approved_share) == ("running", 0.1)


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("decision", ["abort", "reject"])
def test_an_administrator_takes_all_users_back_at_once(signed_in, engine, decision):
    browser = signed_in()

    sent = browser.send(browser.get(CANARY), DECISIONS, decision=decision, reason="complaints")
    after = browser.get(sent.headers["location"])

    assert CanaryStore(engine).get("c1").share == 0.0
    assert "Rolled back: all users are on m@1" in after.text
    assert "complaints" in after.text
    assert buttons(after) == []
    assert "data-live" not in after.text


@pytest.mark.usefixtures("waiting")
def test_an_override_takes_two_administrators(signed_in, engine):
    for browser in (signed_in(), signed_in()):
        assert look(engine, 3).share == 0.1
        sent = browser.send(browser.get(CANARY), DECISIONS, decision="override 0.5", reason="few users")
        assert sent.status_code == 303

    assert look(engine, 4).share == 0.5


def test_whoever_started_it_can_abort_it_and_not_approve_it(browser, key_for, engine):
    key, text = key_for(Role.MODEL_ADMIN)
    start(engine, started_by=f"key:{key.id}")
    own = browser()
    own.sign_in(text)
    page = own.get(CANARY)

    refused = own.send(page, DECISIONS, decision="approve 0.5", reason="mine")

    assert buttons(page) == ["reject", "abort"]
    assert "You started it: another administrator must approve" in page.text
    assert refused.status_code == 403
    assert CanaryStore(engine).get("c1").approved_share == 0.1
