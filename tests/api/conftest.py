"""The API on a real socket, with a real store, real keys and real tokens."""

import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import pytest
import uvicorn

from gateway_tuning.access.permissions import Role
from gateway_tuning.api.app import create_app
from gateway_tuning.api.services import build_services
from gateway_tuning.processes import free_port
from gateway_tuning.settings import Settings

SECRET = "tests-" * 8
PREFIX = "/api/model-training"


class RunningServer:
    """An ASGI app in a thread of its own, on a free port."""

    def __init__(self, app):
        self.app = app
        self.url = f"http://127.0.0.1:{free_port()}"
        port = int(self.url.rsplit(":", 1)[1])
        config = uvicorn.Config(app, port=port, log_level="critical", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        end = time.monotonic() + 10
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            assert time.monotonic() < end, "the server did not start in time"
            time.sleep(0.005)

    def stop(self):
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def api_settings(tmp_path):
    """Settings without narrow limits. A test that needs others: `api_settings.model_copy(update=...)`."""
    return Settings(
        _env_file=None,
        home=tmp_path,
        jwt_secret=SECRET,
        jwt_issuer="https://issuer.test",
        jwt_audience="gateway-tuning",
        feedback_per_minute=1_000_000,
        requests_per_minute=1_000_000,
        failed_logins_per_minute=1_000_000,
        prefect_api_url=None,
    )


@pytest.fixture
def orchestrator():
    """Nobody runs flows. A test module that needs somebody overrides this fixture."""


@pytest.fixture
def services(engine, api_settings, orchestrator):
    built = build_services(api_settings, engine, orchestrator=orchestrator)
    yield built
    built.close()


@pytest.fixture
def start_server():
    started = []

    def start(services):
        started.append(RunningServer(create_app(services)))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def server(start_server, services):
    return start_server(services)


@pytest.fixture
def key_for(services):
    """A new API key: its record and its text."""

    def make(role=Role.MODEL_ADMIN, tenant="default", **options):
        now = options.pop("now", datetime.now(UTC))
        return services.keys.create(tenant, "a test", Role(role), by="cli:tests", now=now, **options)

    return make


@pytest.fixture
def token_for():
    """A new token; `claims` replace or, with None, remove claims, `headers` are added."""

    def make(
        role=Role.MODEL_ADMIN, tenant="default", *, key=SECRET, algorithm="HS256", headers=None, **claims
    ):
        now = datetime.now(UTC)
        made = {
            "iss": "https://issuer.test",
            "aud": "gateway-tuning",
            "sub": "u-17",
            "jti": uuid.uuid4().hex,
            "iat": now,
            "nbf": now,
            "exp": now + timedelta(minutes=15),
            "tenant": tenant,
            "role": str(role),
        } | claims
        made = {name: value for name, value in made.items() if value is not None}
        return jwt.encode(made, key, algorithm=algorithm, headers=headers)

    return make


@pytest.fixture
def open_client(server):
    """A client with the given credentials, or with none."""
    opened = []

    def open_(credentials=None, **headers):
        if credentials is not None:
            headers["authorization"] = f"Bearer {credentials}"
        opened.append(
            httpx.Client(base_url=server.url, headers=headers, timeout=20, trust_env=False, verify=False)  # noqa: S501 - plain http on loopback
        )
        return opened[-1]

    yield open_
    for client in opened:
        client.close()


@pytest.fixture
def client_for(open_client, key_for):
    """A client whose API key has the role in the tenant."""

    def make(role=Role.MODEL_ADMIN, tenant="default"):
        return open_client(key_for(role, tenant)[1])

    return make
