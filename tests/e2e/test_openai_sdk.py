"""The official OpenAI SDK, unchanged, through `gateway-tuning serve-gateway` with keys, limits and receipts."""

import asyncio
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import openai
import pytest
import sqlalchemy as sa
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from gateway_tuning.feedback import rating_token
from gateway_tuning.gateway.door.keys import GatewayKeyStore
from gateway_tuning.gateway.door.names import ModelNameStore
from gateway_tuning.processes import free_port
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import aliases, endpoints, outcomes
from tests.wire.server import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NOW = datetime(2026, 11, 1, tzinfo=UTC)
RATING_KEY = "r" * 32
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


class Order(BaseModel):
    number: int
    paid: bool


class Model:
    """Calls a tool where it is offered one, then says what the tool found; else echoes. Speaks in small pieces."""

    def __init__(self):
        self.asked = []
        routes = [("/v1/chat/completions", self._chat), ("/v1/embeddings", self._embed)]
        self.app = Starlette(routes=[Route(path, answer, methods=["POST"]) for path, answer in routes])

    async def _chat(self, request):
        body = await request.json()
        self.asked.append({"body": body, "headers": dict(request.headers)})
        last = body["messages"][-1]
        if last["content"] == "fail":
            return JSONResponse({"error": {"message": "no such setting", "code": "x"}}, status_code=400)
        message, reason = {"role": "assistant", "content": last["content"]}, "stop"
        if body.get("tools") and last["role"] == "user":
            call = {"id": "call_1", "type": "function"}
            call["function"] = {"name": "weather", "arguments": '{"city": "Zürich"}'}
            message, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        elif "response_format" in body:
            message["content"] = '{"number": 7, "paid": true}'
        if body.get("stream"):
            return StreamingResponse(self._events(body, message, reason), media_type="text/event-stream")
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        return JSONResponse(self._part(body, "chat.completion", [choice]) | {"usage": USAGE})

    async def _embed(self, request):
        body = await request.json()
        self.asked.append({"body": body, "headers": dict(request.headers)})
        # Four little-endian floats, as the SDK asks for them unless told otherwise.
        vector = (
            "AACAPwAAAEAAAEBAAACAQA==" if body.get("encoding_format") == "base64" else [1.0, 2.0, 3.0, 4.0]
        )
        data = [{"object": "embedding", "index": 0, "embedding": vector}]
        usage = {"prompt_tokens": 2, "total_tokens": 2}
        return JSONResponse({"object": "list", "data": data, "model": body["model"], "usage": usage})

    def _part(self, body, kind, choices):
        return {"id": "chat-1", "object": kind, "created": 1, "model": body["model"], "choices": choices}

    async def _events(self, body, message, reason):
        deltas = [{"role": "assistant"}]
        if message["content"] is not None:
            deltas += [{"content": piece} for piece in message["content"]]
        for call in message.get("tool_calls", ()):
            named = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
            deltas += [{"tool_calls": [{"index": 0, **named}]}]
            deltas += [
                {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
                for piece in call["function"]["arguments"]
            ]
        for delta in deltas:
            yield self._event(body, [{"index": 0, "delta": delta, "finish_reason": None}])
            await asyncio.sleep(0)
        yield self._event(body, [{"index": 0, "delta": {}, "finish_reason": reason}])
        if body.get("stream_options", {}).get("include_usage"):
            yield self._event(body, [], usage=USAGE)
        yield "data: [DONE]\n\n"

    def _event(self, body, choices, **more):
        part = self._part(body, "chat.completion.chunk", choices) | more
        return f"data: {json.dumps(part)}\n\n"


@pytest.fixture(scope="module")
def model():
    model = Model()
    with running(model.app) as url:
        model.url = url
        yield model


@pytest.fixture(scope="module")
def engine(tmp_path_factory, model):
    home = tmp_path_factory.mktemp("home")
    engine = open_database(f"sqlite:///{home / 'gateway-tuning.db'}")
    served = {"version_id": "v1", "base_url": f"{model.url}/v1", "served_model": "served", "extra_body": {}}
    with engine.begin() as connection:
        connection.execute(sa.insert(endpoints).values(**served, api_key_env="UPSTREAM_KEY", updated_at=NOW))
        connection.execute(
            sa.insert(aliases).values(model="assistant", alias="stable", version_id="v1", updated_at=NOW)
        )
    ModelNameStore(engine).set("gpt-4o", "assistant", by="cli:test", now=NOW)
    engine.home = home
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def key(engine):
    """By name and limits; a process that runs already knows it within a second."""

    def key(name="shop", **limits):
        return GatewayKeyStore(engine).create(
            "default", name, by="cli:test", now=datetime.now(UTC), **limits
        )[1]

    return key


@pytest.fixture(scope="module")
def keys(key):
    return {"usual": key(tokens_per_minute=1_000_000), "narrow": key("narrow", requests_per_minute=1)}


@pytest.fixture(scope="module")
def url(engine, model, keys):
    port = free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_TUNING_")}
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gateway_tuning.cli",
            "serve-gateway",
            "--port",
            str(port),
            "--exit-with-parent",
        ],
        env=clean
        | {
            "GATEWAY_TUNING_HOME": str(engine.home),
            "GATEWAY_TUNING_GATEWAY_REQUIRE_KEYS": "true",
            "GATEWAY_TUNING_GATEWAY_UPSTREAMS": f"{urlsplit(model.url).netloc}=UPSTREAM_KEY",
            "GATEWAY_TUNING_RATING_TOKEN_KEY": RATING_KEY,
            "GATEWAY_TUNING_RELEVANCE_SHARE": "0",
            "UPSTREAM_KEY": "of-the-operator",
        },
        stdin=subprocess.PIPE,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        yield f"{url}/v1"
    finally:
        child.terminate()
        child.wait(30)
        child.stdin.close()


def _wait_for(url):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/healthz").json()["status"] == "ok":
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the gateway did not start")


@pytest.fixture
def client(url, keys):
    with openai.OpenAI(base_url=url, api_key=keys["usual"], max_retries=0) as client:
        yield client


def said(text):
    return [{"role": "user", "content": text}]


def test_a_chat_with_its_headers_receipt_and_outcome(client, engine, model):
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=said("Grüezi"), user="anna", temperature=0.5, seed=7, logit_bias={"5": -1}
    )

    answer = raw.parse()
    asked = model.asked[-1]
    assert (answer.model, answer.choices[0].message.content) == ("gpt-4o", "Grüezi")
    assert answer.usage.total_tokens == 13
    assert (asked["body"]["temperature"], asked["body"]["seed"]) == (0.5, 7)
    assert asked["body"]["logit_bias"] == {"5": -1}
    assert asked["headers"]["authorization"] == "Bearer of-the-operator"
    assert raw.headers["x-gateway-model-version"] == "v1"
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) < 1_000_000
    fault = rating_token.fault(
        RATING_KEY.encode(),
        raw.headers["x-gateway-rating-token"],
        answer_id=raw.headers["x-gateway-answer-id"],
        user="anna",
        now=datetime.now(UTC),
    )
    assert fault is None
    assert _outcome(engine, raw.headers["x-gateway-answer-id"]).model == "assistant"


def _outcome(engine, answer_id):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with engine.connect() as connection:
            row = connection.execute(
                sa.select(outcomes).where(outcomes.c.answer_id == answer_id)
            ).one_or_none()
        if row is not None:
            return row
        time.sleep(0.02)
    raise AssertionError(f"no outcome of {answer_id}")


def test_a_stream_with_its_usage(client):
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o", messages=said("one by one"), stream=True, stream_options={"include_usage": True}
        )
    )

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one by one"
    assert chunks[-1].usage.total_tokens == 13
    assert {chunk.model for chunk in chunks} == {"gpt-4o"}


def test_a_tool_call_and_its_result(client):
    messages = said("How is the weather?")
    called = client.chat.completions.create(model="assistant", messages=messages, tools=[WEATHER])
    message = called.choices[0].message
    call = message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Zürich"}

    found = {"role": "tool", "tool_call_id": call.id, "content": "Sunny"}
    answer = client.chat.completions.create(
        model="assistant", messages=[*messages, message, found], tools=[WEATHER]
    )

    assert answer.choices[0].message.content == "Sunny"


def test_a_streamed_tool_call_comes_whole(client):
    with client.chat.completions.stream(
        model="assistant", messages=said("How is the weather?"), tools=[WEATHER]
    ) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message

    assert message.tool_calls[0].function.name == "weather"
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Zürich"}


def test_a_structured_output(client, model):
    answer = client.chat.completions.parse(model="assistant", messages=said("order"), response_format=Order)

    assert answer.choices[0].message.parsed == Order(number=7, paid=True)
    assert model.asked[-1]["body"]["response_format"]["json_schema"]["name"] == "Order"


def test_embeddings_and_models(client):
    answer = client.embeddings.create(model="assistant", input="text")

    assert answer.data[0].embedding == [1.0, 2.0, 3.0, 4.0]
    assert [one.id for one in client.models.list()] == ["assistant", "gpt-4o"]
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"


def test_the_asynchronous_client_with_many_requests_at_once(url, keys):
    async def ask_all():
        async with openai.AsyncOpenAI(base_url=url, api_key=keys["usual"], max_retries=0) as client:

            async def streamed(text):
                stream = await client.chat.completions.create(
                    model="assistant", messages=said(text), stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            texts = [f"text {number}" for number in range(20)]
            return texts, await asyncio.gather(*map(streamed, texts))

    texts, answers = asyncio.run(ask_all())

    assert answers == texts


def test_errors_are_the_clients_own_classes(client, url, keys):
    def ask(client, text="x", model="assistant"):
        return client.chat.completions.create(model=model, messages=said(text))

    with pytest.raises(openai.NotFoundError) as unknown:
        ask(client, model="nothing")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="no such setting"):
        ask(client, "fail")
    with pytest.raises(openai.APIStatusError) as too_large:
        ask(client, "x" * (1 << 20))
    assert too_large.value.status_code == 413
    with pytest.raises(openai.AuthenticationError) as wrong:
        ask(client.with_options(api_key="sk-wrong"))
    assert wrong.value.code == "invalid_api_key"
    narrow = client.with_options(api_key=keys["narrow"])
    ask(narrow)
    with pytest.raises(openai.RateLimitError) as limited:
        ask(narrow)
    assert limited.value.code == "rate_limit_exceeded"
