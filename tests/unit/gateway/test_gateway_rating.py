from datetime import UTC, datetime, timedelta

import httpx
import pytest

from gateway_tuning.feedback import rating_token
from gateway_tuning.gateway.relay.proxy import RatingSigner

MESSAGES = [{"role": "user", "content": "hello"}]


def answer_id(gateway, **options):
    body = {"model": "assistant", "messages": MESSAGES, **options}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body).headers["x-gateway-answer-id"]


def rate(gateway, answer, content):
    return httpx.post(f"{gateway.url}/v1/answers/{answer}/rating", json=content)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_can_be_rated_before_its_outcome_was_written(start_gateway, registry, stream):
    gateway = start_gateway(write_interval_s=60.0)
    reply = rate(gateway, answer_id(gateway, stream=stream), {"score": 0.5})
    assert reply.status_code == 200
    assert [one.rating for one in registry.outcomes()] == [0.5]


def test_the_last_rating_counts(gateway, registry):
    answer = answer_id(gateway)
    for score in (1, -1):
        assert rate(gateway, answer, {"score": score}).status_code == 200
    assert registry.outcomes()[0].rating == -1.0


def test_an_unknown_answer_is_not_found(gateway):
    reply = rate(gateway, "nobody", {"score": 1})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "answer_not_found")


@pytest.mark.parametrize("content", [{}, {"score": 2}, {"score": "1"}, {"score": True}, {"score": None}, []])
def test_a_rating_that_is_none_is_refused(gateway, registry, content):
    assert rate(gateway, answer_id(gateway), content).status_code == 400
    assert [one.rating for one in registry.outcomes(1)] == [None]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_carries_a_token_that_lets_its_user_alone_rate_it(start_gateway, stream):
    signing = RatingSigner(b"k" * 32, timedelta(days=7))
    gateway = start_gateway(signing=signing)
    body = {"model": "assistant", "messages": MESSAGES, "user": "anna", "stream": stream}

    headers = httpx.post(f"{gateway.url}/v1/chat/completions", json=body).headers

    def fault(user):
        token, answer = headers["x-gateway-rating-token"], headers["x-gateway-answer-id"]
        return rating_token.fault(signing.key, token, answer_id=answer, user=user, now=datetime.now(UTC))

    assert fault("anna") is None
    assert fault("ben") == "Rating token belongs to another user"


def test_a_gateway_without_a_key_signs_nothing(gateway):
    reply = httpx.post(
        f"{gateway.url}/v1/chat/completions", json={"model": "assistant", "messages": MESSAGES}
    )
    assert "x-gateway-rating-token" not in reply.headers
