"""What every request gets, and what every failure looks like."""

import json
import logging
import socket
import time

import pytest
import sqlalchemy as sa

from gateway_tuning.access.permissions import Permission, Role
from gateway_tuning.api.app import create_app
from gateway_tuning.api.problems import ProblemError
from gateway_tuning.api.security import allow, api_router
from gateway_tuning.errors import (
    ConfigurationError,
    ConflictError,
    ErasedError,
    InputFileError,
    IntegrityError,
    MissingExtraError,
    NotFoundError,
    OrchestratorError,
    ProviderError,
)
from tests.api.conftest import PREFIX, RunningServer

KEYS = f"{PREFIX}/api-keys"
PRIVATE = "my-dear-diary"
ERRORS = {
    "found": (NotFoundError("No run r1; list runs to see all"), 404),
    "conflict": (ConflictError("The run r1 has ended"), 409),
    "erased": (ErasedError("The dataset d1 is gone"), 410),
    "configuration": (ConfigurationError("The plan names no model"), 422),
    "extra": (MissingExtraError("x is not installed"), 422),
    "file": (InputFileError("No records"), 422),
    "orchestrator": (OrchestratorError("Prefect does not answer; try again"), 503),
    "provider": (ProviderError(PRIVATE), 500),
    "integrity": (IntegrityError(PRIVATE), 500),
    "locked": (sa.exc.OperationalError(PRIVATE, {"text": PRIVATE}, Exception("locked")), 503),
    "pool": (sa.exc.TimeoutError(PRIVATE), 503),
    "data": (sa.exc.DataError(PRIVATE, {}, Exception("NUL")), 422),
    "defect": (KeyError(PRIVATE), 500),
    "teapot": (ProblemError(415, "Send JSON", {"accept-post": "application/json"}), 415),
}


@pytest.fixture
def failing(services):
    router = api_router("tests")

    @router.get("/fail/{how}", dependencies=[allow(Permission.VIEW)])
    def fail(how: str):
        raise ERRORS[how][0]

    server = RunningServer(create_app(services, routers=(router,)))
    yield server.url
    server.stop()


@pytest.mark.parametrize("how", ERRORS)
def test_every_failure_is_a_problem_document_without_internals(failing, client_for, how, caplog):
    error, status = ERRORS[how]

    answer = client_for(Role.MODEL_VIEWER).get(f"{failing}{PREFIX}/fail/{how}")

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert PRIVATE not in answer.text
    assert PRIVATE not in caplog.text
    if status == 500:
        assert body["request_id"] in caplog.text
    elif str(error) != PRIVATE and how not in {"locked", "pool", "data", "teapot"}:
        assert body["detail"] == str(error)
    assert ("retry-after" in answer.headers) is (status == 503)


def test_unknown_paths_and_methods_are_problems_too(open_client):
    unknown, method = open_client().get("/nowhere"), open_client().put(KEYS)

    assert (unknown.status_code, method.status_code) == (404, 405)
    assert unknown.headers["content-type"] == method.headers["content-type"] == "application/problem+json"
    assert set(method.headers["allow"].split(", ")) <= {"GET", "POST"}


def test_a_request_that_does_not_fit_is_told_the_fields_and_not_its_own_values(client_for):
    refused = client_for().post(KEYS, json={"name": "x", "role": PRIVATE, "days": PRIVATE})

    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["body.role", "body.days"]
    assert PRIVATE not in refused.text


def test_a_nul_character_is_the_callers_mistake_on_every_database(client_for):
    answer = client_for().post(KEYS, json={"name": "a\x00b", "role": "ModelViewer"})

    assert answer.status_code in {201, 422}


@pytest.mark.parametrize("given", ["abc-1.2_3", "", "a b", "x" * 65, "a\tb"])
def test_a_request_keeps_its_id_if_it_is_fit_for_a_log(open_client, given):
    answer = open_client().get("/healthz", headers={"x-request-id": given})

    kept = answer.headers["x-request-id"]
    assert kept == given if given == "abc-1.2_3" else (kept != given and len(kept) == 32)


def test_every_answer_carries_safe_headers(open_client):
    for path in ("/healthz", "/nowhere", KEYS):
        headers = open_client().get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers or headers["server"] == "uvicorn"


@pytest.fixture
def small(services, api_settings, start_server):
    from dataclasses import replace

    settings = api_settings.model_copy(update={"max_body_bytes": 2000})
    return start_server(replace(services, settings=settings))


def test_a_body_that_says_it_is_too_long_is_refused_unread(small, client_for):
    refused = client_for().post(f"{small.url}{KEYS}", content=b"x" * 2001)

    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", [KEYS, f"{PREFIX}/feedback"])
def test_a_streamed_body_is_refused_where_it_gets_too_long(small, client_for, path):
    def body():
        for _ in range(30):
            yield b'{"name": "' + b"x" * 90

    refused = client_for().post(
        f"{small.url}{path}", content=body(), headers={"content-type": "application/json"}
    )

    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "99999999999999999999999"])
def test_a_length_that_is_no_length_is_refused(small, length):
    host, port = small.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = f"POST {KEYS} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
        connection.sendall(head.encode())
        status = connection.recv(1000).split(b" ")[1]

    assert status in {b"400", b"413"}


def lines_of_access(caplog):
    """The line is written once the answer is out, which the client may be quicker to read."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found = [json.loads(r.message) for r in caplog.records if r.name == "gateway_tuning.api.access"]
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("no line was logged")


def test_the_log_has_a_line_a_request_with_the_route_and_no_path(client_for, caplog):
    caplog.set_level(logging.INFO, "gateway_tuning.api.access")

    client_for().delete(f"{KEYS}/anna-smith?token=hush", headers={"x-request-id": "r-7"})

    (line,) = lines_of_access(caplog)
    assert line.pop("ms") > 0
    assert line == {"method": "DELETE", "route": f"{KEYS}/{{key_id}}", "status": 404, "request_id": "r-7"}


def test_measurements_count_by_route_and_name_no_tenant_key_or_path(client_for, open_client, key_for):
    key, text = key_for(Role.MODEL_VIEWER, "secret-tenant")
    open_client(text).get(f"{KEYS}")
    client_for().delete(f"{KEYS}/anna-smith")
    open_client("gt_x").get(KEYS)
    open_client().get("/someone/else")
    open_client().request("PROPFIND", "/healthz")

    text = open_client().get("/metrics").text

    assert (
        f'gateway_tuning_api_requests_total{{method="DELETE",route="{KEYS}/{{key_id}}",status="404"}} 1.0'
        in text
    )
    assert 'route="unmatched",status="404"' in text
    assert 'method="OTHER"' in text
    assert "gateway_tuning_api_refused_logins_total 1.0" in text
    assert "gateway_tuning_api_denied_calls_total 1.0" in text
    assert not any(word in text for word in ("secret-tenant", key.id, "anna", "someone", "PROPFIND"))
