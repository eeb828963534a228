"""A real model server that can misbehave, a real store, and the gateway between them on loopback."""

import asyncio
import json
import shutil
import threading
import time
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
import uvicorn
from openai import OpenAI
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway_tuning.gateway.app import create_app
from gateway_tuning.processes import free_port
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import aliases, endpoints, outcomes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = ("one ", "two ", "three")


class RunningServer:
    """An ASGI app in a thread of its own, on a real socket."""

    def __init__(self, app):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(app, port=self.port, log_level="critical", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        wait_until(lambda: self._server.started)

    def stop(self):
        self._server.should_exit = True
        self._thread.join()


class ModelServer:
    """Speaks chat completions. The served model's name says how it behaves: `slow`, `drop`, `half`, ..."""

    def __init__(self):
        self.requests = []
        self.cancelled = threading.Event()
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/embeddings", self._embed, methods=["POST"]),
        ]
        self._server = RunningServer(Starlette(routes=routes))
        self.base_url = f"{self._server.url}/v1"

    def stop(self):
        self._server.stop()

    async def _chat(self, request):
        body = await request.json()
        self.requests.append({"body": body, "headers": dict(request.headers)})
        behaviour = body["model"].rpartition("-")[2]
        if behaviour == "slow":
            await asyncio.sleep(1.5)
        if behaviour.isdigit():
            error = {"error": {"message": "the model refuses", "type": "x"}}
            return JSONResponse(error, status_code=int(behaviour))
        if body.get("stream"):
            events = flood() if behaviour == "flood" else self._events(body, behaviour)
            return StreamingResponse(events, media_type="text/event-stream")
        answer = json.dumps(self._completion(body)).encode()
        if behaviour == "huge":
            return StreamingResponse((b" " * (1 << 20) for _ in range(100)), media_type="application/json")
        if behaviour == "drop":  # promises more than it sends, so that the connection breaks
            return Response(answer[:20], headers={"content-length": "1000"})
        if behaviour == "empty":
            answer = json.dumps({**self._completion(body), "choices": []}).encode()
        if behaviour == "half":
            answer = answer[: len(answer) // 2]
        return Response(answer, media_type="application/json")

    async def _embed(self, request):
        """Of each text its length; `half`, `empty` and figures misbehave as for chats."""
        body = await request.json()
        self.requests.append({"body": body, "headers": dict(request.headers)})
        behaviour = body["model"].rpartition("-")[2]
        if behaviour.isdigit():
            return JSONResponse({"error": {"message": "the model refuses"}}, status_code=int(behaviour))
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {"object": "embedding", "index": number, "embedding": [float(len(text)), 0.1]}
            for number, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 4, "total_tokens": 4}
        answer = {"object": "list", "data": data, "model": body["model"], "usage": usage}
        raw = json.dumps({} if behaviour == "empty" else answer).encode()
        return Response(raw[: len(raw) // 2] if behaviour == "half" else raw, media_type="application/json")

    def _completion(self, body):
        message = {"role": "assistant", "content": f"answer of {body['model']}"}
        return {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }

    async def _events(self, body, behaviour):
        try:
            if behaviour == "empty":
                yield b": nothing comes of it\n\n"
                return
            if behaviour == "error":
                yield b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'
                return
            if behaviour == "silent":
                await asyncio.sleep(10)
            for number, word in enumerate(WORDS):
                last = number == len(WORDS) - 1
                if behaviour == "cut" and last:
                    return
                if behaviour == "pause" and last:
                    await asyncio.sleep(10)
                event = {
                    "id": "x",
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": body["model"],
                    "choices": [
                        {"index": 0, "delta": {"content": word}, "finish_reason": "stop" if last else None}
                    ],
                }
                raw = f"data: {json.dumps(event)}\n\n".encode()
                if behaviour == "unended":
                    yield raw[:-1]
                    return
                yield raw[:15]  # events need not arrive in one piece
                await asyncio.sleep(0)
                yield raw[15:]
            if (body.get("stream_options") or {}).get("include_usage"):
                usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
                event = {"id": "x", "object": "chat.completion.chunk", "choices": [], "usage": usage}
                yield f"data: {json.dumps(event)}\n\n".encode()
            yield b"data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def flood():
    """More than any socket holds."""
    event = json.dumps({"choices": [{"index": 0, "delta": {"content": "word " * 2_000}}]})
    for _ in range(10_000):
        yield f"data: {event}\n\n".encode()
        await asyncio.sleep(0)  # to a client that has gone nothing is ever full


class Gateway:
    def __init__(self, engine, **options):
        app = create_app(
            engine,
            **{"request_timeout_s": 5.0, "reload_interval_s": 0.05, "write_interval_s": 0.05, **options},
        )
        self._server = RunningServer(app)
        self.url = self._server.url
        self._clients = []

    def client(self, **options):
        client = OpenAI(
            **{"base_url": f"{self.url}/v1", "api_key": "unused", "max_retries": 0, "timeout": 20, **options}
        )
        self._clients.append(client)
        return client

    def stop(self):
        for client in self._clients:
            client.close()
        self._server.stop()


class Registry:
    """Writes the rows that the gateway routes by."""

    def __init__(self, engine, base_url):
        self.engine = engine
        self._base_url = base_url

    def serve(self, version, served_model, *, base_url=None, extra_body=None, api_key_env=None):
        row = {
            "version_id": version,
            "base_url": base_url or self._base_url,
            "served_model": served_model,
            "extra_body": extra_body or {},
            "api_key_env": api_key_env,
            "updated_at": NOW,
        }
        with self.engine.begin() as connection:
            connection.execute(sa.delete(endpoints).where(endpoints.c.version_id == version))
            connection.execute(sa.insert(endpoints).values(row))

    def point(self, model, version, alias="stable"):
        with self.engine.begin() as connection:
            connection.execute(sa.delete(aliases).where(aliases.c.model == model, aliases.c.alias == alias))
            connection.execute(
                sa.insert(aliases).values(model=model, alias=alias, version_id=version, updated_at=NOW)
            )

    def outcomes(self, count=None):
        """All stored outcomes in order; waits until there are `count`."""

        def read():
            with self.engine.connect() as connection:
                return connection.execute(sa.select(outcomes).order_by(outcomes.c.at)).all()

        if count is not None:
            wait_until(lambda: len(read()) >= count)
        return read()


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def model_server():
    server = ModelServer()
    yield server
    server.stop()


@pytest.fixture
def upstream(model_server):
    model_server.requests.clear()
    model_server.cancelled.clear()
    return model_server


@pytest.fixture
def registry(tmp_path, upstream, migrated_sqlite):
    """Model `assistant`, version v1, answering well."""
    path = tmp_path / "store" / "gateway.db"
    path.parent.mkdir()
    shutil.copyfile(migrated_sqlite, path)
    engine = open_database(f"sqlite:///{path}")
    registry = Registry(engine, upstream.base_url)
    registry.serve("v1", "served-v1")
    registry.point("assistant", "v1")
    yield registry
    engine.dispose()


@pytest.fixture
def start_gateway(registry):
    started = []

    def start(**options):
        started.append(Gateway(registry.engine, **options))
        return started[-1]

    yield start
    for gateway in started:
        gateway.stop()


@pytest.fixture
def gateway(start_gateway):
    return start_gateway()


@pytest.fixture
def until():
    return wait_until
