"""The official client against a real HTTP server that misbehaves as it is told."""

import asyncio
import itertools
from types import SimpleNamespace

import pytest

from gateway_tuning.datasets.example import ToolCall, Turn
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.predict import predict, predict_sync
from gateway_tuning.evaluation.running import asking
from gateway_tuning.registry.endpoint import Endpoint
from tests.wire.faults import lost_reply, status, truncated

CHAT = "/chat/completions$"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.01)


def ask(server, *prompts, model="m", **options):
    conversations = [[Turn("user", prompt)] for prompt in prompts]
    return predict_sync(Endpoint(server, model), conversations, **options)


def test_predictions_come_in_order_with_tokens_and_the_whole_conversation_is_sent(server, chat, make_example):
    conversations = [make_example(number).messages for number in range(20)]
    endpoint = Endpoint(server, "m", {"lora": [{"id": 0, "scale": 1}]})

    predictions = predict_sync(endpoint, conversations, concurrency=7, max_tokens=5, seed=3)

    assert [prediction.text for prediction in predictions] == [turns[-1].content for turns in conversations]
    assert {(p.error, p.prompt_tokens, p.completion_tokens) for p in predictions} == {(None, 5, 1)}
    assert all(prediction.latency_ms > 0 for prediction in predictions)
    assert chat.most_at_once <= 7
    [first] = [body for body in chat.asked if body["messages"][-1]["content"].endswith("four 0")]
    assert first == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be kind"},
            {"role": "user", "content": "one two three four 0"},
        ],
        "lora": [{"id": 0, "scale": 1}],
        "max_tokens": 5,
        "seed": 3,
        "temperature": 0.0,
    }


def test_calls_of_tools_and_what_they_gave_are_sent_as_such(server, chat):
    call = ToolCall("c1", "orders", '{"id": 7}')
    turns = [
        Turn("user", "Where is 7?"),
        Turn("assistant", "", (call,)),
        Turn("tool", "on its way", (), "c1"),
    ]

    predict_sync(Endpoint(server, "m"), [turns])

    function = {"name": "orders", "arguments": '{"id": 7}'}
    assert chat.asked[0]["messages"][1:] == [
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "content": "on its way", "tool_call_id": "c1"},
    ]


def test_an_unknown_token_count_is_none(server, chat):
    chat.counts_tokens = False

    [prediction] = ask(server, "hello")

    assert (prediction.text, prediction.prompt_tokens, prediction.completion_tokens) == ("hello", None, None)


def test_an_empty_answer_is_an_answer_and_one_without_text_is_none(server, chat):
    chat.says = lambda _model, prompt: "" if prompt == "empty" else None

    empty, mute = ask(server, "empty", "mute", concurrency=1)

    assert (empty.text, empty.error) == ("", None)
    assert (mute.text, mute.error, mute.unavailable) == (None, "The answer has no text (stop)", False)


def test_nobody_listening_is_told_as_such():
    async def nobody_listens():
        return await predict(Endpoint("http://127.0.0.1:9/v1", "m"), [[Turn("user", "hello")]], timeout_s=2)

    [prediction] = asyncio.run(nobody_listens())

    assert (prediction.text, prediction.unavailable) == (None, True)
    assert prediction.error == "APIConnectionError: Connection error."


def test_a_refused_request_is_not_sent_again(server, faults):
    faults.on("POST", CHAT, status(400, body={"error": {"message": "context too long"}}), times=9)

    [refused] = ask(server, "hello")

    assert "BadRequestError" in refused.error
    assert "context too long" in refused.error
    assert not refused.unavailable
    assert faults.count("POST", CHAT) == 1


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(502),
        status(408),
        status(429),
        status(503),
        lost_reply(),
        truncated(),
        truncated(says_so=True),
    ],
    ids=["500", "502", "408", "429", "503", "lost reply", "half a reply", "half a JSON"],
)
def test_what_passes_is_tried_again(server, faults, fault):
    faults.on("POST", CHAT, fault, times=2)

    [prediction] = ask(server, "hello")

    assert prediction.text == "hello"
    assert faults.count("POST", CHAT) == 3


@pytest.mark.parametrize(("code", "attempts"), [(500, asking.ATTEMPTS), (429, asking.REFUSED_ATTEMPTS)])
def test_after_so_many_attempts_it_is_a_failure_with_its_reason(server, faults, code, attempts):
    faults.on("POST", CHAT, status(code, retry_after=0), times=99)

    [prediction] = ask(server, "hello")

    assert (prediction.text, prediction.unavailable) == (None, True)
    assert f"scripted {code}" in prediction.error
    assert faults.count("POST", CHAT) == attempts


def test_a_spent_quota_is_no_rate_limit(server, faults):
    error = {"message": "You exceeded your current quota", "code": "insufficient_quota"}
    faults.on("POST", CHAT, status(429, body={"error": error}), times=9)

    [prediction] = ask(server, "hello")

    assert prediction.unavailable
    assert faults.count("POST", CHAT) == 1


def test_an_answer_that_takes_too_long_is_a_failure(server, chat, monkeypatch):
    monkeypatch.setattr(asking, "ATTEMPTS", 1)
    chat.delay_s = 0.5

    [prediction] = ask(server, "hello", timeout_s=0.1)

    assert prediction.unavailable
    assert prediction.error == "APITimeoutError: Request timed out."


def test_a_server_that_refuses_is_asked_by_fewer_at_a_time_and_loses_no_question(server, chat, faults):
    faults.on("POST", CHAT, status(429, retry_after=0.05), times=8)
    chat.delay_s = 0.02

    predictions = ask(server, *(f"question {number}" for number in range(24)), concurrency=8)

    assert [prediction.text for prediction in predictions] == [f"question {number}" for number in range(24)]
    assert chat.most_at_once < 8


def test_latency_is_that_of_all_attempts_without_the_pauses_between_them(server, faults, monkeypatch):
    clock = itertools.count()  # a second each time it is read: before and after an attempt
    monkeypatch.setattr(asking, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    faults.on("POST", CHAT, status(500), times=2)

    [prediction] = ask(server, "hello")

    assert prediction.latency_ms == 3000


def test_what_is_no_completion_at_all_is_a_failure(server, faults):
    faults.on("POST", CHAT, status(200, body={"hello": "world"}))

    [prediction] = ask(server, "hello")

    assert prediction.error == "The answer has no text (no choice)"


def test_an_answer_is_kept_without_what_no_database_keeps(server, chat):
    chat.says = lambda _model, _prompt: "a\x00b\ud83dc"

    [prediction] = ask(server, "hello")

    assert prediction.text == "a\N{REPLACEMENT CHARACTER}b?c"


def test_the_key_is_read_from_the_named_variable_and_its_absence_is_told(server, chat, monkeypatch):
    endpoint = Endpoint(server, "m", api_key_env="SOME_MODEL_KEY")
    monkeypatch.setenv("SOME_MODEL_KEY", "s3cret")

    predict_sync(endpoint, [[Turn("user", "hello")]])

    assert [headers["authorization"] for headers in chat.headers] == ["Bearer s3cret"]
    monkeypatch.delenv("SOME_MODEL_KEY")
    with pytest.raises(ConfigurationError, match="SOME_MODEL_KEY, which is not set"):
        predict_sync(endpoint, [[Turn("user", "hello")]])
