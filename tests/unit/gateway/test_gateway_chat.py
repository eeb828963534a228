from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import openai
import pytest
import sqlalchemy as sa

from gateway_tuning.gateway.door.upstreams import Upstreams
from gateway_tuning.gateway.routing import Router
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.storage.tables import canaries

MESSAGES = [{"role": "user", "content": "hello"}]


def ask(client, model="assistant", **options):
    return client.chat.completions.create(model=model, messages=MESSAGES, **options)


def test_the_official_client_gets_an_answer_under_the_logical_name(gateway, registry, upstream):
    answer = ask(gateway.client(), temperature=0.3, extra_body={"top_k": 5})
    assert answer.choices[0].message.content == "answer of served-v1"
    assert answer.model == "assistant"
    assert upstream.requests[0]["body"]["model"] == "served-v1"
    assert (upstream.requests[0]["body"]["temperature"], upstream.requests[0]["body"]["top_k"]) == (0.3, 5)
    stored = registry.outcomes(1)[0]
    assert (stored.model, stored.version_id, stored.arm, stored.error) == ("assistant", "v1", "stable", None)
    assert (stored.prompt_tokens, stored.completion_tokens, stored.simulated) == (7, 3, False)
    assert stored.latency_ms > 0


def test_the_official_client_gets_a_stream_under_the_logical_name(gateway, registry):
    chunks = list(ask(gateway.client(), stream=True))
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == "one two three"
    assert {chunk.model for chunk in chunks} == {"assistant"}
    stored = registry.outcomes(1)[0]
    assert (stored.error, stored.prompt_tokens, stored.completion_tokens) == (None, 7, 3)


@pytest.mark.parametrize("stream", [False, True])
def test_the_reply_names_answer_and_version_and_not_the_arm(gateway, registry, stream):
    body = {"model": "assistant", "messages": MESSAGES, "stream": stream}
    reply = httpx.post(f"{gateway.url}/v1/chat/completions", json=body)
    assert reply.headers["x-gateway-model-version"] == "v1"
    assert reply.headers["x-gateway-answer-id"] == registry.outcomes(1)[0].answer_id
    assert "stable" not in str(reply.headers)


def test_the_endpoints_own_fields_win_over_the_clients(gateway, registry, upstream, until):
    registry.serve("v1", "served-v1", extra_body={"lora": [{"id": 1, "scale": 1.0}]})

    def seen():
        ask(gateway.client(), extra_body={"lora": []})
        return upstream.requests[-1]["body"]["lora"]

    until(lambda: seen() == [{"id": 1, "scale": 1.0}])


def test_the_endpoints_key_comes_from_the_environment_and_the_clients_key_goes_nowhere(
    start_gateway, registry, upstream, monkeypatch
):
    monkeypatch.setenv("MODEL_KEY", "of-the-endpoint")
    registry.serve("v1", "served-v1", api_key_env="MODEL_KEY")
    upstreams = Upstreams.parse(f"{urlsplit(upstream.base_url).netloc}=MODEL_KEY")
    client = start_gateway(upstreams=upstreams).client(api_key="of-the-client")
    ask(client)
    assert upstream.requests[-1]["headers"]["authorization"] == "Bearer of-the-endpoint"
    monkeypatch.delenv("MODEL_KEY")
    with pytest.raises(openai.InternalServerError, match="MODEL_KEY"):
        ask(client)
    assert registry.outcomes(2)[1].error == "no_api_key"


def test_the_models_are_those_that_are_served(gateway, registry):
    registry.point("without-endpoint", "v404")
    assert [model.id for model in gateway.client().models.list()] == ["assistant"]


def test_the_routes_say_which_versions_answer_and_who_splits_them(start_gateway, registry):
    registry.serve("v2", "served-v2")
    registry.serve("w1", "served-w1")
    registry.point("writer", "w1")
    registry.point("without-endpoint", "v404")
    now = datetime.now(UTC)
    CanaryStore(registry.engine).start(
        "c1", tenant="t", model="assistant", candidate="v2", control="v1", policy=CanaryPolicy(), now=now
    )
    with registry.engine.begin() as connection:
        connection.execute(sa.update(canaries).values(share=0.25))

    said = httpx.get(f"{start_gateway().url}/routes").json()

    assert said["models"] == {
        "assistant": {"stable": "v1", "canary": {"id": "c1", "candidate": "v2", "share": 0.25}},
        "writer": {"stable": "w1", "canary": None},
    }
    assert said["error"] is None
    assert datetime.fromisoformat(said["loaded_at"]) >= now


def test_an_unknown_model_is_the_clients_not_found_error_and_no_outcome(gateway, registry):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(gateway.client(), model="gpt-9")
    assert caught.value.code == "model_not_found"
    assert registry.outcomes() == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[1]", 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'{"model": NaN}', 400, "invalid_json"),
        (b"\xff", 400, "invalid_json"),
        (b'{"messages": [{}]}', 400, "missing_model"),
        (b'{"model": "assistant"}', 400, "missing_messages"),
        (b'{"model": "\\ud800", "messages": [{}]}', 404, "model_not_found"),
        (b"x" * (1 << 20) + b"x", 413, "request_too_large"),
    ],
    ids=["cut", "list", "deep", "nan", "bytes", "model", "messages", "surrogate", "large"],
)
def test_a_request_that_cannot_work_is_refused_as_openai_words_it(gateway, upstream, content, status, code):
    reply = httpx.post(f"{gateway.url}/v1/chat/completions", content=content)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert upstream.requests == []


def test_a_request_may_come_in_pieces_as_long_as_they_are_not_too_many(gateway, upstream):
    def in_pieces(filler):
        body = b'{"model": "assistant", "messages": [{"role": "user", "content": "' + b"x" * filler + b'"}]}'
        pieces = (body[start : start + 1000] for start in range(0, len(body), 1000))
        return httpx.post(f"{gateway.url}/v1/chat/completions", content=pieces)

    assert in_pieces(500_000).status_code == 200
    assert in_pieces(1 << 20).status_code == 413
    assert len(upstream.requests) == 1


def test_paths_that_do_not_exist_get_an_error_body_too(gateway):
    reply = httpx.get(f"{gateway.url}/v1/nothing")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


def test_a_text_with_a_lone_surrogate_passes_through(gateway, upstream):
    body = b'{"model": "assistant", "user": "\\ud800", "messages": [{"role": "user", "content": "\\udfff"}]}'
    assert httpx.post(f"{gateway.url}/v1/chat/completions", content=body).status_code == 200
    assert upstream.requests[0]["body"]["messages"][0]["content"] == "\udfff"


def test_a_simulated_request_is_stored_as_simulated(gateway, registry):
    ask(gateway.client(), extra_headers={"x-gateway-simulated": "1"})
    assert registry.outcomes(1)[0].simulated


def test_a_fault_of_the_gateways_own_is_an_error_of_openais_form_too(start_gateway, monkeypatch):
    def break_down(*_args, **_options):
        raise RuntimeError

    monkeypatch.setattr(Router, "route", break_down)
    with pytest.raises(openai.InternalServerError) as failed:
        ask(start_gateway().client())
    assert (failed.value.status_code, failed.value.code) == (500, "internal_error")
