import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from gateway_tuning.processes import free_port

MESSAGES = [{"role": "user", "content": "hello"}]


def ask(client, **options):
    return client.chat.completions.create(model="assistant", messages=MESSAGES, **options)


@pytest.mark.parametrize(
    "case",
    [
        ("500", 502, "status_500"),
        ("401", 502, "status_401"),
        ("400", 400, "status_400"),
        ("429", 429, "status_429"),
        ("half", 502, "invalid_json"),
        ("drop", 502, "connection_lost"),
        ("slow", 504, "timeout"),
        ("huge", 502, "answer_too_large"),
    ],
)
def test_a_failing_model_is_one_error_for_the_client_and_one_outcome(start_gateway, registry, upstream, case):
    behaviour, status, code = case
    registry.serve("v1", f"served-{behaviour}")
    with pytest.raises(openai.APIStatusError) as caught:
        ask(start_gateway(request_timeout_s=0.5).client())
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.response.headers["x-gateway-model-version"] == "v1"
    assert [(one.error, one.version_id) for one in registry.outcomes(1)] == [(code, "v1")]
    assert len(upstream.requests) == 1  # nothing was tried again


def test_a_mistake_of_the_client_keeps_the_models_words(start_gateway, registry):
    registry.serve("v1", "served-400")
    with pytest.raises(openai.BadRequestError, match="the model refuses"):
        ask(start_gateway().client())


def test_a_model_that_is_down_is_an_error_outcome(start_gateway, registry):
    registry.serve("v1", "served-v1", base_url=f"http://127.0.0.1:{free_port()}/v1")
    with pytest.raises(openai.InternalServerError):
        ask(start_gateway().client())
    assert registry.outcomes(1)[0].error == "unreachable"


def test_more_requests_than_the_gateway_holds_are_asked_to_come_again(start_gateway, registry):
    registry.serve("v1", "served-slow")
    gateway = start_gateway(max_open=2)
    url = f"{gateway.url}/v1/chat/completions"
    body = {"model": "assistant", "messages": MESSAGES}
    with ThreadPoolExecutor(5) as pool:
        replies = list(pool.map(lambda _: httpx.post(url, json=body, timeout=20), range(5)))

    refused = [reply for reply in replies if reply.status_code == 503]
    assert len(refused) == 3
    assert {reply.json()["error"]["code"] for reply in refused} == {"too_many_requests_open"}
    assert {reply.headers["retry-after"] for reply in refused} == {"1"}
    assert httpx.post(url, json=body, timeout=20).status_code == 200  # places are given back


def test_a_stream_that_breaks_off_raises_in_the_client_and_is_an_error(start_gateway, registry):
    registry.serve("v1", "served-cut")
    words = []
    with pytest.raises(openai.APIError, match="broke off"):
        words.extend(chunk.choices[0].delta.content for chunk in ask(start_gateway().client(), stream=True))
    assert registry.outcomes(1)[0].error == "cut_off"


def test_a_stream_that_lasts_too_long_is_a_timeout(start_gateway, registry):
    registry.serve("v1", "served-pause")
    with pytest.raises(openai.APIError, match="in time"):
        list(ask(start_gateway(request_timeout_s=0.5).client(), stream=True))
    assert registry.outcomes(1)[0].error == "timeout"


def test_a_client_that_leaves_a_stream_ends_it_at_the_model_too(start_gateway, registry, upstream):
    registry.serve("v1", "served-pause")
    body = {"model": "assistant", "messages": MESSAGES, "stream": True}
    with httpx.stream("POST", f"{start_gateway().url}/v1/chat/completions", json=body) as reply:
        next(reply.iter_lines())
    assert registry.outcomes(1)[0].error == "interrupted"
    assert upstream.cancelled.wait(10)


def test_an_unreachable_store_leaves_the_gateway_serving_and_flagged(
    start_gateway, registry, tmp_path, until
):
    gateway = start_gateway(outcome_limit=2)
    client = gateway.client()

    def health():
        return httpx.get(f"{gateway.url}/healthz").json()

    assert health()["status"] == "ok"
    folder = tmp_path / "store"
    folder.rename(tmp_path / "away")
    registry.engine.dispose()  # the next connection finds no folder
    until(lambda: health()["routes"]["error"])
    for _ in range(3):
        assert ask(client).choices[0].message.content == "answer of served-v1"
    until(lambda: health()["outcomes"]["error"])
    assert (health()["status"], health()["outcomes"]["pending"], health()["outcomes"]["lost"]) == (
        "degraded",
        2,
        1,
    )
    rating = httpx.post(f"{gateway.url}/v1/answers/{'0' * 32}/rating", json={"score": 1})
    assert (rating.status_code, rating.json()["error"]["code"]) == (503, "store_unreachable")
    (tmp_path / "away").rename(folder)
    assert len(registry.outcomes(2)) == 2
    until(lambda: health()["routes"]["error"] is None and health()["outcomes"]["error"] is None)
    assert health()["outcomes"]["lost"] == 1  # a loss is never forgotten


def test_outcomes_of_many_clients_at_once_are_all_stored(gateway, registry):
    def visit():
        client = gateway.client()
        for _ in range(10):
            ask(client)

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.outcomes(80)) == 80


def test_outcomes_still_in_memory_are_written_when_the_gateway_stops(start_gateway, registry):
    gateway = start_gateway(write_interval_s=60.0)
    ask(gateway.client())
    assert registry.outcomes() == []
    gateway.stop()
    assert len(registry.outcomes()) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"assistant","messages":[{"role":"user","content":"x"}],"stream":1}',
        b'{"model":"assistant","messages":[{"role":"user","content":"x"}],"stream":"true"}',
    ],
)
def test_a_stream_that_is_neither_true_nor_false_reaches_no_model(gateway, registry, upstream, raw):
    reply = httpx.post(f"{gateway.url}/v1/chat/completions", content=raw)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_stream")
    assert (upstream.requests, registry.outcomes()) == ([], [])


@pytest.mark.parametrize("odd", [b"[" * 1000 + b"]" * 1000, b'["\\ud800",1e999]'])
def test_a_request_that_cannot_be_passed_on_is_the_clients_mistake(gateway, registry, upstream, odd):
    raw = b'{"model":"assistant","messages":[{"role":"user","content":"x"}],"odd":' + odd + b"}"
    reply = httpx.post(f"{gateway.url}/v1/chat/completions", content=raw)
    assert reply.status_code == 400
    assert {one.error for one in registry.outcomes()} <= {"status_400"}
    assert upstream.requests == []


def test_an_error_after_half_an_event_is_an_event_of_its_own(start_gateway, registry):
    registry.serve("v1", "served-unended")
    raw = httpx.post(
        f"{start_gateway().url}/v1/chat/completions",
        json={"model": "assistant", "messages": MESSAGES, "stream": True},
    ).text
    events = [event for event in raw.split("\n\n") if event.strip()]
    assert [event.strip().count("data: ") for event in events] == [1, 1]
    assert "cut_off" in events[1]


def test_a_method_that_a_path_does_not_know_is_told_as_openai_does(gateway):
    reply = httpx.get(f"{gateway.url}/v1/embeddings")
    assert (reply.status_code, reply.json()["error"]["code"]) == (405, "method_not_allowed")


def test_what_the_store_says_of_outcomes_it_did_not_take_shows_none_of_them(
    start_gateway, registry, until, caplog
):
    gateway = start_gateway()
    with registry.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE outcomes RENAME TO elsewhere")
    reply = httpx.post(
        f"{gateway.url}/v1/chat/completions", json={"model": "assistant", "messages": MESSAGES}
    )
    until(lambda: httpx.get(f"{gateway.url}/healthz").json()["outcomes"]["error"])
    told = httpx.get(f"{gateway.url}/healthz").text + caplog.text
    assert "no such table" in told
    assert reply.headers["x-gateway-answer-id"] not in told


def test_a_client_that_reads_nothing_holds_its_stream_no_longer_than_one_request_may_take(
    start_gateway, registry
):
    registry.serve("v1", "served-flood")
    host, port = start_gateway(request_timeout_s=1.0).url.removeprefix("http://").split(":")
    body = json.dumps({"model": "assistant", "messages": MESSAGES, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + body)
        (outcome,) = registry.outcomes(1)

    assert outcome.error in {"interrupted", "timeout"}
