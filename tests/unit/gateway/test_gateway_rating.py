import httpx
import pytest

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
