"""Feedback over a real socket: what is acknowledged, what is refused, and the receipt afterwards."""

import json

import pytest
import sqlalchemy as sa

from gateway_tuning.access.permissions import Role
from gateway_tuning.api.services import build_services
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import dataset_feedback, feedback, model_versions
from tests.api.conftest import PREFIX

FEEDBACK = f"{PREFIX}/feedback"


def record(id_="f1", **changes):
    fields = {
        "id": id_,
        "user_id": "anna",
        "type": "thumbs_up",
        "prompt": "Where?",
        "response": "Here.",
        "timestamp": "2026-10-01T12:00:00Z",
    }
    return {**fields, **changes}


@pytest.fixture
def app(client_for):
    return client_for(Role.FEEDBACK_WRITER)


def test_one_record_is_acknowledged_once_it_is_in_the_store(app, engine):
    answer = app.post(FEEDBACK, json=record())

    assert answer.status_code == 201
    assert answer.json() == {
        "receipts": [{"id": "f1", "state": "stored", "news": "added", "reasons": []}],
        "usable": 1,
    }
    assert [stored.id for _, stored in FeedbackStore(engine).read("default")] == ["f1"]


def test_a_batch_with_poison_is_stored_without_it(app):
    answer = app.post(FEEDBACK, json=[record("f1"), record("f2", prompt=""), 7])

    assert answer.status_code == 201
    assert [item["state"] for item in answer.json()["receipts"]] == ["stored", "quarantined", "quarantined"]


def test_a_body_of_which_nothing_is_usable_is_a_problem_with_the_receipts(app, client_for):
    answer = app.post(FEEDBACK, json=record(type="applause"))

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["receipts"][0]["reasons"][0].startswith("Unknown feedback type")
    receipt = client_for(Role.MODEL_VIEWER).get(f"{FEEDBACK}/f1").json()
    assert receipt["state"] == "quarantined"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff"])
def test_a_body_that_is_no_feedback_is_refused_in_words(app, body):
    answer = app.post(FEEDBACK, content=body)

    assert answer.status_code == 422
    assert "JSON" in answer.json()["detail"]


def test_a_batch_over_the_limit_and_a_body_over_the_limit_are_refused(app, api_settings):
    many = [record(f"f{number}") for number in range(api_settings.max_batch + 1)]
    assert "send at most 1000" in app.post(FEEDBACK, json=many).json()["detail"]

    large = json.dumps(record(prompt="x" * api_settings.max_body_bytes))
    assert app.post(FEEDBACK, content=large).status_code == 413


def test_the_same_idempotency_key_gives_the_same_records_and_another_body_conflicts(app):
    nameless = {key: value for key, value in record().items() if key != "id"}
    key = {"idempotency-key": "k-1"}

    first, again = (app.post(FEEDBACK, json=nameless, headers=key) for _ in range(2))
    other = app.post(FEEDBACK, json=nameless | {"comment": "more"}, headers=key)

    assert first.json()["receipts"][0]["id"] == again.json()["receipts"][0]["id"]
    assert [first.json()["receipts"][0]["news"], again.json()["receipts"][0]["news"]] == [
        "added",
        "duplicate",
    ]
    assert other.status_code == 409
    assert app.post(FEEDBACK, json=nameless, headers={"idempotency-key": "x" * 201}).status_code == 400


def test_an_application_may_post_and_see_nothing(app, client_for):
    app.post(FEEDBACK, json=record())

    assert app.get(f"{FEEDBACK}/f1").status_code == 403
    assert client_for(Role.MODEL_VIEWER).post(FEEDBACK, json=record()).status_code == 403


def test_feedback_is_of_the_callers_tenant_whatever_the_body_says(client_for):
    theirs = client_for(Role.MODEL_ADMIN, tenant="theirs")
    assert theirs.post(FEEDBACK, json=record()).status_code == 201
    assert theirs.post(FEEDBACK, json=record("f2", tenant="default")).status_code == 422

    assert theirs.get(f"{FEEDBACK}/f1").status_code == 200
    assert client_for(Role.MODEL_ADMIN).get(f"{FEEDBACK}/f1").status_code == 404


def test_a_receipt_leads_to_the_datasets_and_the_models_that_learned_from_it(client_for, engine, now):
    admin = client_for()
    admin.post(FEEDBACK, json=[record("f1"), record("f2")])
    with engine.begin() as connection:
        for id_, used, reason in (("f1", True, None), ("f2", False, "outvoted: 1 of 4 raters")):
            connection.execute(
                dataset_feedback.insert().values(
                    dataset_id="ds-1", feedback_id=id_, tenant="default", used=used, reason=reason
                )
            )
        connection.execute(
            model_versions.insert().values(
                id="m@1", tenant="default", model="m", base_model="b", dataset_id="ds-1", provider="llama",
                files={}, metrics={}, hyperparameters={}, created_at=now,
            )
        )  # fmt: skip

    learned = admin.get(f"{FEEDBACK}/f1").json()["datasets"]
    left_out = admin.get(f"{FEEDBACK}/f2").json()["datasets"]

    assert learned == [
        {"dataset_id": "ds-1", "used": True, "reason": None, "retired": False, "models": ["m@1"]}
    ]
    assert (left_out[0]["reason"], left_out[0]["models"]) == ("outvoted: 1 of 4 raters", [])


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_locked_store_answers_503_with_retry_after_and_keeps_nothing_back(
    engine, api_settings, start_server, open_client, key_for
):
    key = key_for(Role.FEEDBACK_WRITER)[1]
    impatient = open_database(str(engine.url), busy_seconds=0.1)
    services = build_services(api_settings, impatient)
    url = start_server(services).url
    client = open_client(key)
    assert client.post(f"{url}{FEEDBACK}", json=record("before")).status_code == 201

    with engine.connect() as locked:
        locked.exec_driver_sql("SELECT 1")  # an immediate transaction, as all of the store's
        refused = client.post(f"{url}{FEEDBACK}", json=record("during"))
    later = client.post(f"{url}{FEEDBACK}", json=record("during"))
    services.close()

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert later.status_code == 201
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(feedback)).scalar_one() == 2


def test_the_document_shows_the_body_with_examples(open_client):
    document = open_client().get(f"{PREFIX}/openapi.json").json()

    post = document["paths"][FEEDBACK]["post"]
    content = post["requestBody"]["content"]["application/json"]
    assert set(content["examples"]) == {"one record", "a batch", "without an id, under an Idempotency-Key"}
    assert content["schema"]["oneOf"][0]["properties"]["type"]["enum"][0] == "thumbs_up"
    assert {"201", "400", "401", "403", "409", "413", "422", "429", "503"} <= post["responses"].keys()
