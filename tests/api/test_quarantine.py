"""A person's word on what was set aside, over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.reviews import Decision, decisions
from gateway_tuning.feedback.store import FeedbackStore

PREFIX = "/api/model-training"
WHY = {"reason": "A newsletter asked for these ratings"}


@pytest.fixture
def burst(services):
    """A stored record that a build set aside; the fingerprint of its entry."""
    now, store = datetime.now(UTC), FeedbackStore(services.engine)
    fields = {
        "type": "thumbs_up",
        "prompt": "Where?",
        "response": "Here.",
        "timestamp": now - timedelta(hours=1),
    }
    store.add([FeedbackRecord(id="f1", tenant="default", **fields)], now)
    entry = QuarantineEntry("default", "trust", "feedback", "f1", ("burst: words 4 to 6",), None, "f1")
    store.add_quarantine([entry], now)
    return entry.fingerprint


def test_a_manager_accepts_a_record_and_rejects_it_again(client_for, services, burst):
    client = client_for(Role.MODEL_MANAGER)

    accepted = client.post(f"{PREFIX}/quarantine/{burst}/accept", json=WHY)

    assert accepted.status_code == 200
    review = accepted.json()["review"]
    assert (review["decision"], review["reason"], review["stands"]) == ("accepted", WHY["reason"], True)
    watermark = FeedbackStore(services.engine).watermark("default")
    assert decisions(services.engine, "default", watermark) == {"f1": Decision.ACCEPTED}

    client.post(f"{PREFIX}/quarantine/{burst}/reject", json={"reason": "It was none"})
    (listed,) = client.get(f"{PREFIX}/quarantine").json()["items"]
    assert listed["review"]["decision"] == "rejected"
    (newest, *_) = services.audit.page("default", limit=1)
    assert (newest.event.action, newest.event.object_id) == ("quarantine.reject", burst)
    assert newest.event.request_id


def test_what_could_not_be_anonymized_says_so_and_cannot_be_accepted(client_for, services):
    entry = QuarantineEntry("default", "anonymization", "feedback", "f1", ("not anonymized",), None, "f1")
    FeedbackStore(services.engine).add_quarantine([entry], datetime.now(UTC))
    client = client_for(Role.MODEL_MANAGER)

    shown = client.get(f"{PREFIX}/quarantine/{entry.fingerprint}").json()
    answer = client.post(f"{PREFIX}/quarantine/{entry.fingerprint}/accept", json=WHY)

    assert "personal data could not be removed" in shown["unacceptable"]
    assert answer.status_code == 409
    assert "personal data could not be removed" in answer.json()["detail"]
    assert client.get(f"{PREFIX}/quarantine/{entry.fingerprint}").json()["review"] is None


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 1001}, {"reason": "why", "by": "me"}])
def test_a_decision_needs_a_reason_and_nothing_else(client_for, burst, body):
    assert (
        client_for(Role.MODEL_MANAGER).post(f"{PREFIX}/quarantine/{burst}/accept", json=body).status_code
        == 422
    )
