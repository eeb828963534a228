from datetime import UTC, datetime

import httpx
import openai
import pytest
import sqlalchemy as sa

from gateway_tuning.gateway.door.keys import GatewayKeyStore
from gateway_tuning.gateway.door.names import ModelNameStore
from gateway_tuning.processes import free_port
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.storage.tables import canaries


def embed(client, model="assistant", **options):
    return client.embeddings.create(model=model, input=["one", "three"], encoding_format="float", **options)


def test_embeddings_come_from_the_stable_version_under_the_name_asked_for(start_gateway, registry, upstream):
    registry.serve("v1", "served-v1", extra_body={"truncate": True})
    ModelNameStore(registry.engine).set("ada", "assistant", by="cli:test", now=datetime.now(UTC))

    raw = (
        start_gateway()
        .client()
        .embeddings.with_raw_response.create(
            model="ada", input=["one", "three"], encoding_format="float", dimensions=2
        )
    )

    answer = raw.parse()
    assert [one.embedding for one in answer.data] == [[3.0, 0.1], [5.0, 0.1]]
    assert (answer.model, answer.usage.total_tokens) == ("ada", 4)
    assert raw.headers["x-gateway-model-version"] == "v1"
    asked = upstream.requests[0]["body"]
    assert (asked["model"], asked["dimensions"], asked["truncate"]) == ("served-v1", 2, True)


def test_a_canary_neither_answers_embeddings_nor_counts_them(start_gateway, registry, upstream):
    registry.serve("v2", "served-v2")
    registry.point("assistant", "v2", alias="candidate")
    now = datetime.now(UTC)
    CanaryStore(registry.engine).start(
        "c1", tenant="t", model="assistant", candidate="v2", control="v1", policy=CanaryPolicy(), now=now
    )
    with registry.engine.begin() as connection:
        connection.execute(sa.update(canaries).values(share=0.5))
    gateway = start_gateway()
    client = gateway.client()

    for number in range(20):
        embed(client, user=f"user-{number}")
    gateway.stop()

    assert {one["body"]["model"] for one in upstream.requests} == {"served-v1"}
    assert registry.outcomes() == []


def test_the_key_of_the_client_goes_nowhere_and_its_limits_count(start_gateway, registry, upstream):
    _, key = GatewayKeyStore(registry.engine).create(
        "default", "shop", by="cli:test", now=datetime.now(UTC), tokens_per_minute=8
    )
    client = start_gateway(require_keys=True).client(api_key=key)
    for _ in range(2):
        embed(client)

    with pytest.raises(openai.RateLimitError):
        embed(client)

    assert "authorization" not in upstream.requests[0]["headers"]
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("served", "status", "code"),
    [
        ("served-500", 502, "status_500"),
        ("served-429", 429, "status_429"),
        ("served-400", 400, "status_400"),
        ("served-half", 502, "invalid_json"),
        ("served-empty", 502, "no_data"),
    ],
)
def test_a_model_that_fails_is_one_error_and_takes_no_tokens(start_gateway, registry, served, status, code):
    registry.serve("v1", served)
    _, key = GatewayKeyStore(registry.engine).create(
        "default", "shop", by="cli:test", now=datetime.now(UTC), tokens_per_minute=8
    )

    with pytest.raises(openai.APIStatusError) as failed:
        embed(start_gateway().client(api_key=key))

    assert (failed.value.status_code, failed.value.code) == (status, code)
    assert failed.value.response.headers["x-ratelimit-remaining-tokens"] == "8"


def test_a_model_that_is_down_is_a_502(start_gateway, registry):
    registry.serve("v1", "served-v1", base_url=f"http://127.0.0.1:{free_port()}/v1")

    with pytest.raises(openai.InternalServerError) as failed:
        embed(start_gateway().client())

    assert failed.value.code == "unreachable"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"input": "x"}, 400, "missing_model"),
        ({"model": "assistant"}, 400, "missing_input"),
        ({"model": "assistant", "input": []}, 400, "missing_input"),
        ({"model": "nothing", "input": "x"}, 404, "model_not_found"),
        ([], 400, "invalid_json"),
    ],
)
def test_a_request_that_cannot_work_reaches_no_model(gateway, upstream, body, status, code):
    reply = httpx.post(f"{gateway.url}/v1/embeddings", json=body)

    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert upstream.requests == []
