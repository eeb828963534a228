"""Who is let in, how often, and what is told and kept of it."""

import logging
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
import sqlalchemy as sa
from fastapi import APIRouter, Request

from gateway_tuning.access.permissions import Permission, Role
from gateway_tuning.api import health
from gateway_tuning.api.app import create_app
from gateway_tuning.api.security import allow, api_router, public
from gateway_tuning.api.services import build_services
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.storage.tables import api_keys
from tests.api.conftest import PREFIX, SECRET, RunningServer

KEYS, AUDIT = f"{PREFIX}/api-keys", f"{PREFIX}/audit"


@pytest.fixture
def limited(engine, api_settings, start_server):
    """A server with narrow limits, on the same store."""
    built = []

    def start(**limits):
        services = build_services(api_settings.model_copy(update=limits), engine)
        built.append(services)
        return start_server(services).url

    yield start
    for services in built:
        services.close()


def test_a_call_without_credentials_is_told_how_to_bring_them(open_client):
    refused = open_client().get(KEYS)

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["request_id"] == refused.headers["x-request-id"]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic dTpw", "bearer x", "Bearer gt_x", "Bearer a b", "Bearer é"]
)
def test_credentials_that_are_none_open_nothing(open_client, header):
    assert open_client().get(KEYS, headers={"authorization": header.encode()}).status_code == 401


def test_a_token_of_the_issuer_opens_the_api_for_its_tenant_and_role(open_client, token_for, key_for):
    mine, _ = key_for(Role.MODEL_VIEWER, "acme")
    key_for(Role.MODEL_VIEWER, "globex")

    listed = open_client(token_for(Role.MODEL_ADMIN, "acme")).get(KEYS).json()["items"]

    assert [key["id"] for key in listed] == [mine.id]
    assert open_client(token_for(Role.MODEL_VIEWER, "acme")).get(KEYS).status_code == 403


def test_a_forged_or_worn_out_token_opens_nothing(open_client, token_for):
    now = datetime.now(UTC)
    tokens = [
        token_for(key="other-" * 8),
        token_for(aud="another"),
        token_for(exp=now - timedelta(minutes=1), iat=now - timedelta(minutes=9)),
        token_for(exp=now + timedelta(days=30)),
        token_for(jti=None),
        token_for(headers={"jku": "https://evil.test"}),
        jwt.encode({"sub": "u"}, None, algorithm="none"),
    ]

    assert [open_client(token).get(KEYS).status_code for token in tokens] == [401] * len(tokens)


def test_without_token_settings_no_token_opens_anything(
    engine, api_settings, start_server, token_for, open_client
):
    bare = api_settings.model_copy(update={"jwt_secret": None, "jwt_issuer": None, "jwt_audience": None})
    services = build_services(bare, engine)
    url = start_server(services).url

    refused = open_client(token_for()).get(f"{url}{KEYS}")
    services.close()

    assert refused.status_code == 401


def test_an_expired_key_opens_nothing(open_client, key_for):
    _, text = key_for(
        now=datetime.now(UTC) - timedelta(days=2), expires_at=datetime.now(UTC) - timedelta(days=1)
    )

    assert open_client(text).get(KEYS).status_code == 401


def test_a_key_revoked_by_another_process_dies_within_seconds(open_client, key_for, engine):
    key, text = key_for()
    client = open_client(text)
    before = client.get(KEYS).status_code
    with engine.begin() as connection:
        connection.execute(
            api_keys.update().where(api_keys.c.id == key.id).values(revoked_at=datetime.now(UTC))
        )
    revoked = time.monotonic()

    while client.get(KEYS).status_code == 200:
        assert time.monotonic() - revoked < 8, "the key outlived its revocation"
        time.sleep(0.2)

    assert before == 200


def test_a_denied_call_is_audited_with_its_route_and_not_its_path(client_for, key_for, open_client):
    key, text = key_for(Role.MODEL_VIEWER)

    denied = open_client(text).delete(f"{KEYS}/anna-smith", headers={"x-request-id": "r-9"})
    (entry,) = client_for().get(AUDIT).json()["items"]

    assert denied.status_code == 403
    assert "manage" in denied.json()["detail"]
    assert entry["actor"] == f"key:{key.id}"
    assert (entry["action"], entry["outcome"], entry["request_id"]) == ("access", "denied", "r-9")
    assert entry["object_id"] == f"DELETE {KEYS}/{{key_id}}"
    assert "anna" not in str(entry)


def test_a_caller_who_calls_too_often_waits_and_others_do_not(limited, open_client, key_for):
    url = limited(requests_per_minute=5)
    busy, calm = open_client(key_for()[1]), open_client(key_for()[1])

    statuses = [busy.get(f"{url}{KEYS}").status_code for _ in range(7)]
    refused = busy.get(f"{url}{KEYS}")

    assert statuses == [200] * 5 + [429] * 2
    assert 1 <= int(refused.headers["retry-after"]) <= 120
    assert calm.get(f"{url}{KEYS}").status_code == 200


def test_feedback_has_a_limit_of_its_own(limited, open_client, key_for):
    url = limited(requests_per_minute=1, feedback_per_minute=100)
    client = open_client(key_for()[1])

    listed = [client.get(f"{url}{KEYS}").status_code for _ in range(2)]
    posted = [client.post(f"{url}{PREFIX}/feedback", json=[]).status_code for _ in range(3)]

    assert listed == [200, 429]
    assert 429 not in posted


def test_an_address_that_guesses_is_stopped_and_callers_who_were_in_before_are_not(
    limited, open_client, key_for, token_for
):
    url = limited(failed_logins_per_minute=3)
    known, new, user = open_client(key_for()[1]), open_client(key_for()[1]), open_client(token_for())
    known.get(f"{url}{KEYS}")
    user.get(f"{url}{KEYS}")
    guesser = open_client("gt_000000000000_" + "A" * 43)

    guessed = [guesser.get(f"{url}{KEYS}").status_code for _ in range(6)]

    assert guessed == [401] * 3 + [429] * 3
    assert known.get(f"{url}{KEYS}").status_code == user.get(f"{url}{KEYS}").status_code == 200
    assert new.get(f"{url}{KEYS}").status_code == 429


def test_whoever_knocks_at_what_is_denied_does_not_fill_the_audit_log(limited, open_client, key_for, engine):
    url = limited(failed_logins_per_minute=3)
    viewer = open_client(key_for(Role.MODEL_VIEWER)[1])

    statuses = [viewer.get(f"{url}{KEYS}").status_code for _ in range(8)]

    assert statuses == [403] * 3 + [429] * 5
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM audit_entries")).scalar_one() == 3


def test_guessing_many_unknown_keys_asks_the_store_no_more_often_than_the_limit_lets(
    limited, open_client, engine
):
    url = limited(failed_logins_per_minute=10)
    guesser = open_client()
    asked = []
    sa.event.listen(
        engine, "before_cursor_execute", lambda *event: asked.append(1) if "api_keys" in event[2] else None
    )

    for number in range(40):
        guesser.get(f"{url}{KEYS}", headers={"authorization": f"Bearer gt_{number:012x}_{'A' * 43}"})

    assert len(asked) == 10


def test_the_caller_is_checked_before_the_body_is_read(open_client, client_for):
    broken = {"content": b"{not json", "headers": {"content-type": "application/json"}}

    assert open_client().post(KEYS, **broken).status_code == 401
    assert client_for(Role.MODEL_VIEWER).post(KEYS, **broken).status_code == 403
    assert client_for(Role.MODEL_ADMIN).post(KEYS, **broken).status_code == 422


def test_no_credential_reaches_the_log(open_client, key_for, token_for, caplog):
    caplog.set_level(logging.DEBUG)
    _, good = key_for()
    token = token_for(aud="another")

    open_client(good).get(KEYS)
    open_client(good[:-3] + "AAA").get(KEYS)
    open_client(token).get(KEYS)

    assert "credentials refused" in caplog.text
    assert good[16:50] not in caplog.text
    assert token[20:] not in caplog.text
    assert SECRET not in caplog.text


# Every route declares itself, or nothing starts


def with_route(services, add):
    router = api_router("tests")
    add(router)
    return create_app(services, routers=(health.router, router))


def endpoint():
    return {}


def test_a_route_without_a_declaration_keeps_the_app_from_starting(services):
    with pytest.raises(ConfigurationError, match="GET /api/model-training/forgotten declares no permission"):
        with_route(services, lambda router: router.get("/forgotten")(endpoint))


def test_a_route_with_two_declarations_keeps_the_app_from_starting(services):
    both = [allow(Permission.MANAGE), public()]

    with pytest.raises(ConfigurationError, match="/torn declares no permission"):
        with_route(services, lambda router: router.get("/torn", dependencies=both)(endpoint))


def test_a_route_that_nothing_guards_keeps_the_app_from_starting(services):
    plain = APIRouter()
    plain.get("/plain", dependencies=[public()])(endpoint)

    async def lean(request: Request):
        return request

    with pytest.raises(ConfigurationError, match="GET /plain does not come from `api_router`"):
        create_app(services, routers=(plain,))
    with pytest.raises(ConfigurationError, match="/lean does not come from `api_router`"):
        with_route(services, lambda router: router.add_route("/lean", lean))


def test_an_undeclared_route_that_is_served_all_the_same_answers_nobody(services, start_server, client_for):
    app = create_app(services)
    late = api_router("tests")
    late.get("/late")(endpoint)
    app.include_router(late)
    server = RunningServer(app)
    try:
        refused = client_for(Role.MODEL_ADMIN).get(f"{server.url}{PREFIX}/late")
    finally:
        server.stop()

    assert refused.status_code == 403
