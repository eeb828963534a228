"""API keys, seen through the API."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway_tuning.access.permissions import Role
from tests.api.conftest import PREFIX

KEYS = f"{PREFIX}/api-keys"


def test_a_created_key_opens_the_api_and_is_shown_once(client_for, open_client):
    admin = client_for()

    created = admin.post(KEYS, json={"name": "shop", "role": "ModelAdmin", "days": 30})
    listed = admin.get(KEYS).json()["items"]
    opened = open_client(created.json()["key"]).get(KEYS)

    assert created.status_code == 201
    assert opened.status_code == 200
    assert [key["name"] for key in listed] == ["shop", "a test"]
    assert created.json()["key"] not in str(listed)
    expires = datetime.fromisoformat(created.json()["expires_at"])
    assert timedelta(days=29) < expires - datetime.now(UTC) <= timedelta(days=30)


def test_a_revoked_key_opens_nothing_at_once_in_the_process_that_revoked_it(client_for, open_client, key_for):
    key, text = key_for(Role.MODEL_ADMIN)
    client = open_client(text)
    before = client.get(KEYS).status_code

    revoked = client_for().delete(f"{KEYS}/{key.id}")

    assert before == 200
    assert revoked.json()["revoked_at"] is not None
    assert client.get(KEYS).status_code == 401


def test_a_key_of_another_tenant_is_not_listed_and_cannot_be_revoked(client_for, key_for, open_client):
    key, text = key_for(Role.MODEL_ADMIN, "acme")
    stranger = client_for(Role.MODEL_ADMIN, "globex")

    listed, revoked = stranger.get(KEYS), stranger.delete(f"{KEYS}/{key.id}")

    assert key.id not in listed.text
    assert revoked.status_code == 404
    assert open_client(text).get(KEYS).status_code == 200


def test_creating_and_revoking_are_audited_with_actor_object_and_request(client_for):
    admin = client_for()

    created = admin.post(
        KEYS, json={"name": "shop", "role": "FeedbackWriter"}, headers={"x-request-id": "r-1"}
    ).json()
    admin.delete(f"{KEYS}/{created['id']}")
    revoked, made = admin.get(f"{PREFIX}/audit").json()["items"]

    assert (made["action"], made["object_id"], made["request_id"]) == ("api-key.create", created["id"], "r-1")
    assert (revoked["action"], revoked["object_id"], revoked["outcome"]) == (
        "api-key.revoke",
        created["id"],
        "done",
    )
    assert made["actor"] == revoked["actor"] == created["created_by"]
    assert admin.get(f"{PREFIX}/audit/verification").json()["intact"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "role": "ModelAdmin"},
        {"name": " ", "role": "ModelAdmin"},
        {"name": "x" * 101, "role": "ModelAdmin"},
        {"name": "x", "role": "Root"},
        {"name": "x", "role": "ModelAdmin", "days": 0},
        {"name": "x", "role": "ModelAdmin", "tenant": "acme"},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(client_for, body):
    refused = client_for().post(KEYS, json=body)

    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["errors"]


def test_pages_hold_every_key_once(client_for, key_for):
    made = {key_for(Role.MODEL_VIEWER, "acme")[0].id for _ in range(6)}
    admin = client_for(Role.MODEL_ADMIN, "acme")

    seen, link, pages = [], f"{KEYS}?limit=3", 0
    while link:
        page = admin.get(link).json()
        seen += [key["id"] for key in page["items"]]
        link, pages = page["next"], pages + 1

    assert pages == 3
    assert len(seen) == len(set(seen)) == 7
    assert made < set(seen)
