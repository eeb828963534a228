"""Requests and the servers of models; what a model's server would do is done by hand, over real sockets."""

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway_tuning.local_service.app import create_app
from gateway_tuning.local_service.servers import Address, ModelServers, _Running
from gateway_tuning.local_service.store.models import TunedModel
from tests.wire.server import running

TUNED, BASE = "ft:smollm2-135m-instruct:x:1", "smollm2-135m-instruct"


class SlowServer:
    """Answers once it is let go."""

    def __init__(self):
        self.asked, self.let_go = threading.Event(), threading.Event()

    async def __call__(self, scope, receive, send):
        self.asked.set()
        await asyncio.to_thread(self.let_go.wait, 30)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"model": "upstream"}'})


@pytest.fixture
def servers_at(tmp_path, monkeypatch):
    """Real accounts of who uses which server; each server is at the given address."""

    def servers_at(url, most=1):
        servers = ModelServers(tmp_path, most=most)

        def start(_name, _adapter):
            return _Running(Address(f"{url}/v1", {}, "key"), ExitStack(), users=1)

        monkeypatch.setattr(servers, "_start", start)
        return servers

    return servers_at


def _request(model, **fields):
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields}


def test_a_client_that_left_before_the_first_event_keeps_no_server_busy(world, servers_at):
    slow = SlowServer()
    world.service.models.add(TunedModel(name=TUNED, job_id="j", created_at=1.0), Path(__file__))
    with running(slow) as upstream:
        world.service = replace(world.service, servers=servers_at(upstream))
        app = create_app(world.service, key=None)
        app.state.http = httpx.AsyncClient(trust_env=False)
        with running(app) as address:
            body = json.dumps(_request(TUNED, stream=True)).encode()
            host = address.removeprefix("http://")
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2]))) as client:
                client.sendall(head.encode() + body)
                assert slow.asked.wait(10)
            time.sleep(0.3)  # until the service knows that nobody listens any more
            slow.let_go.set()

            deadline = time.monotonic() + 10
            while (answer := _asked(address, BASE)).status_code == 503:
                assert time.monotonic() < deadline, answer.text
                time.sleep(0.05)
    assert answer.json() == {"model": BASE}


def _asked(address, model):
    return httpx.post(f"{address}/v1/chat/completions", json=_request(model), trust_env=False, timeout=10)


def test_a_model_that_runs_is_not_kept_waiting_by_the_start_of_another(servers_at, monkeypatch):
    servers, starting, may_start = (
        servers_at("http://127.0.0.1:1", most=2),
        threading.Event(),
        threading.Event(),
    )
    running_one = servers.take("running", None)
    start = servers._start

    def slowly(name, adapter):
        starting.set()
        may_start.wait(30)
        return start(name, adapter)

    monkeypatch.setattr(servers, "_start", slowly)
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(servers.take, "other", None)
        try:
            assert starting.wait(10)
            assert pool.submit(servers.take, "running", None).result(timeout=10) is running_one
        finally:
            may_start.set()
        assert other.result() is not running_one
