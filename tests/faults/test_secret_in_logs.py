"""Words, a name and an address of a user are planted, a cycle is run, and they are looked for in all that is told."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from gateway_tuning.access.keys import KeyStore
from gateway_tuning.access.permissions import Role
from gateway_tuning.observability.spans import canary_context, cycle_context, feedback_context
from gateway_tuning.processes import free_port
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import STABLE, ModelVersion, base_version_id
from gateway_tuning.registry.store import Registry
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import notification_deliveries, notifications
from gateway_tuning.storage.tenants import claim_model
from tests.faults.secret_cycle import BASE, MODEL, STAGES
from tests.unit.notices.servers import webhook
from tests.unit.observability.collector import collector, spans_of
from tests.wire.chat import Chat
from tests.wire.custom_jobs import CustomServer
from tests.wire.server import running

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NAME, ADDRESS, WORDS = "Zenobia Quillfeather", "zenobia.q@quillmail.example", "xylophonic marmalade heist"
PLANTED = f"{NAME} <{ADDRESS}> planned a {WORDS}"
# The parts too, as a log may cut, escape or change the case of what it quotes.
SECRETS = [word.lower() for word in ("Zenobia", "Quillfeather", "quillmail", "xylophonic", "marmalade")]
THINGS = ("lamp", "stove", "boots", "jacket", "map", "rope", "bottle", "tent", "kite", "drum")
METRICS_KEY = "operators"
PREFECTS = ("logs", "artifacts", "flow_runs", "task_runs", "events")


def records():
    """Sixty corrections, ten of them of the planted user; ratings of hers; and what is no record at all."""
    for number in range(60):
        hers = number % 6 == 0
        thing, says = THINGS[number % 10], f" {PLANTED}." if hers else ""
        yield {
            "id": f"fb-{number}",
            "user_id": ADDRESS if hers else f"user-{number}",
            "type": "correction",
            "prompt": f"Where do I return {thing} number {number}?{says}",
            "response": f"I do not know.{says}",
            "corrected_response": f"Send {thing} number {number} to our depot.{says}",
            "comment": says or None,
            "timestamp": datetime.now(UTC).isoformat(),
        }
    usual = {
        "user_id": ADDRESS,
        "prompt": PLANTED,
        "response": PLANTED,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    yield {"id": "down", "type": "thumbs_down", "comment": PLANTED, **usual}
    yield {"id": "no-type", "type": PLANTED, **usual}
    yield {"id": PLANTED, "type": "thumbs_up", **usual, "timestamp": PLANTED}
    yield PLANTED


def make_store(home):
    """A model whose stable version is served, and a key for feedback."""
    engine = open_database(Settings(_env_file=None, home=home).resolved_database_url)
    now = datetime.now(UTC)
    claim_model(engine, MODEL, "default", now=now)
    registry, base = Registry(engine), base_version_id(MODEL, BASE)
    registry.register(
        ModelVersion(
            id=base, tenant="default", model=MODEL, base_model=BASE, provider="custom", created_at=now
        )
    )
    registry.point(MODEL, STABLE, base, reason="the base model", now=now)
    _, key = KeyStore(engine).create("default", "app", Role.FEEDBACK_WRITER, by="test", now=now)
    return engine, registry, base, key


def start(environment, log, *arguments):
    with log.open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, stdout=output, stderr=output
        )


@contextmanager
def serving(environment, logs):
    """The API and the gateway as processes; yields their addresses."""
    ports = {name: free_port() for name in ("serve-api", "serve-gateway")}
    processes = [
        start(environment, logs / f"{name}.log", "gateway_tuning.cli", name, "--port", str(port))
        for name, port in ports.items()
    ]
    urls = [f"http://127.0.0.1:{port}" for port in ports.values()]
    try:
        for url in urls:
            until_it_answers(f"{url}/healthz")
        yield urls
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def until_it_answers(url):
    for _ in range(600):
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(url)


def speak(api_url, gateway_url, key):
    """Feedback, faulty calls and a chat, all of them of the planted user."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{api_url}/api/model-training", headers=headers, timeout=30) as writer:
        assert writer.post("/feedback", json=list(records())).status_code == 201
        assert writer.post("/feedback", content=f'{{"prompt": "{PLANTED}'.encode()).status_code == 422
        assert writer.get(f"/feedback/{ADDRESS}").status_code == 403
    chat = {"model": PLANTED, "messages": [{"role": "user", "content": PLANTED}], "user": ADDRESS}
    assert httpx.post(f"{gateway_url}/v1/chat/completions", json=chat).status_code == 404


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Everything that was told of a cycle, by where it was; besides, its id and spans by name."""
    folder = tmp_path_factory.mktemp("told")
    logs, out = folder / "logs", folder / "prefect.json"
    logs.mkdir()
    engine, registry, base, key = make_store(folder / "home")
    with ExitStack() as stack:
        chat_url = f"{stack.enter_context(running(Chat(lambda _, prompt: f'As you said: {prompt}')))}/v1"
        webhook_url, messages = stack.enter_context(webhook())
        collector_url, bodies = stack.enter_context(collector())
        registry.set_endpoint(base, Endpoint(chat_url, base), now=datetime.now(UTC))
        environment = os.environ | {
            "GATEWAY_TUNING_HOME": str(folder / "home"),
            "GATEWAY_TUNING_LOG_FORMAT": "json",
            "GATEWAY_TUNING_LOG_LEVEL": "debug",
            "GATEWAY_TUNING_OTLP_ENDPOINT": collector_url,
            "GATEWAY_TUNING_METRICS_KEY": METRICS_KEY,
            "GATEWAY_TUNING_NOTIFY_WEBHOOK_URL": webhook_url,
            "GATEWAY_TUNING_CUSTOM_TRAINER_URL": stack.enter_context(running(CustomServer().app)),
        }
        environment.pop("PREFECT_API_URL", None)
        with serving(environment, logs) as (api_url, gateway_url):
            speak(api_url, gateway_url, key)
            arguments = ("tests.faults.secret_cycle", chat_url, gateway_url, PLANTED, str(out))
            cycle = start(environment, logs / "cycle.log", *arguments)
            assert cycle.wait(400) == 0, (logs / "cycle.log").read_text()[-8000:]
            operator = {"authorization": f"Bearer {METRICS_KEY}"}
            metrics = [httpx.get(f"{url}/metrics", headers=operator).text for url in (api_url, gateway_url)]
    prefect = json.loads(out.read_text())
    with engine.connect() as connection:
        rows = [
            str(row)
            for table in (notifications, notification_deliveries)
            for row in connection.execute(sa.select(table))
        ]
    engine.dispose()
    spans = spans_of(bodies)
    media = {
        **{path.name: path.read_text() for path in logs.iterdir()},
        **{f"Prefect's {what}": json.dumps(prefect[what], ensure_ascii=False) for what in PREFECTS},
        "metrics": "\n".join(metrics),
        "notices": "\n".join(rows),
        "webhook": json.dumps(messages, ensure_ascii=False),
        "traces": "\n".join(str(span) for span in spans.values()),
    }
    return media, prefect["cycle"], spans


@pytest.mark.parametrize(
    ("medium", "mark"),
    [
        ("serve-api.log", '"route": "/api/model-training/feedback"'),
        ("cycle.log", "it failed: ValueError"),
        ("Prefect's logs", "it failed: ValueError"),
        ("Prefect's artifacts", "Gate: "),
        ("Prefect's flow_runs", "tuning-cycle"),
        ("Prefect's task_runs", "build dataset"),
        ("Prefect's events", "prefect.flow-run."),
        ("metrics", "gateway_tuning_loop_feedback_last_day"),
        ("notices", f"Gate of {MODEL}"),
        ("webhook", f"Canary of {MODEL}"),
        ("traces", "chat assistant"),
        ("serve-gateway.log", ""),
    ],
)
def test_what_a_user_says_is_told_nowhere(told, medium, mark):
    text = told[0][medium]
    assert mark in text  # it has told something, so that finding nothing means something
    assert [word for word in SECRETS if word in text.lower()] == []


def test_the_cycle_is_one_trace_that_its_records_and_chats_are_linked_to(told):
    _, cycle_id, spans = told
    trace_id = cycle_context(cycle_id).trace_id
    of_cycle = {name for name, span in spans.items() if int.from_bytes(span.trace_id, "big") == trace_id}
    assert of_cycle == {*STAGES, f"tune {MODEL}", f"canary {MODEL}"}
    links = {int.from_bytes(link.trace_id, "big") for link in spans["dataset"].links}
    assert feedback_context("default", "fb-1").trace_id in links
    (link,) = spans[f"chat {MODEL}"].links
    assert int.from_bytes(link.span_id, "big") == canary_context(f"canary-{cycle_id}").span_id
