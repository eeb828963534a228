import httpx
import openai
import pytest

from gateway_tuning.gateway.relay.stream import EventRewriter
from tests.unit.gateway.conftest import wait_until

MESSAGES = [{"role": "user", "content": "hello"}]


def test_of_a_streamed_answer_the_time_to_its_first_word_is_stored(gateway, registry):
    client = gateway.client()
    list(client.chat.completions.create(model="assistant", messages=MESSAGES, stream=True))
    client.chat.completions.create(model="assistant", messages=MESSAGES)

    streamed, whole = registry.outcomes(2)
    assert 0 < streamed.first_token_ms <= streamed.latency_ms
    assert whole.first_token_ms is None


def test_the_tokens_of_a_stream_are_stored_and_told_to_the_client_that_asked_for_them_alone(
    gateway, registry, upstream
):
    def stream(**options):
        return list(
            gateway.client().chat.completions.create(
                model="assistant", messages=MESSAGES, stream=True, **options
            )
        )

    untold = stream()
    told = stream(stream_options={"include_usage": True})
    unknown = stream(stream_options={"include_usage": False})

    assert [event.usage for event in untold] == [None] * len(untold)
    assert all(event.choices for event in untold)
    assert told[-1].usage.completion_tokens == 3
    assert len(unknown) == len(untold)
    assert [row.completion_tokens for row in registry.outcomes(3)] == [3, 3, None]


def test_an_endpoint_that_knows_no_stream_options_is_not_sent_any(gateway, registry, upstream):
    registry.serve("v2", "served-v2", extra_body={"stream_options": None})
    registry.point("plain", "v2")
    events = []

    def answered():
        try:
            events[:] = gateway.client().chat.completions.create(
                model="plain", messages=MESSAGES, stream=True
            )
        except openai.NotFoundError:  # the gateway has not read the new route yet
            return False
        return True

    wait_until(answered)

    assert "".join(event.choices[0].delta.content for event in events) == "one two three"
    assert "stream_options" not in upstream.requests[-1]["body"]


@pytest.mark.parametrize(
    ("deltas", "heard"),
    [
        (['{"role":"assistant","content":""}'], []),
        (['{"role":"assistant"}', '{"content":"a"}', '{"content":"b"}'], [1]),
        (['{"role":"assistant","content":null}', '{"tool_calls":[{"function":{"name":"find"}}]}'], [1]),
        (['{"refusal":"No."}'], [0]),
    ],
    ids=["no word", "a word", "a call of a tool", "a refusal"],
)
def test_the_first_token_is_the_first_word_or_call(deltas, heard):
    told = []
    now = 0
    events = EventRewriter("assistant", first_token=lambda: told.append(now))
    for now, delta in enumerate(deltas):  # noqa: B007 - the callback reads it
        events.feed(f'data: {{"choices":[{{"index":0,"delta":{delta}}}]}}\n\n'.encode())

    assert told == heard


def test_a_stream_that_is_no_stream_is_an_error_before_anything_is_sent(start_gateway, registry):
    registry.serve("v1", "served-error")
    body = {"model": "assistant", "messages": MESSAGES, "stream": True}
    reply = httpx.post(f"{start_gateway().url}/v1/chat/completions", json=body)

    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "error_event")
    assert registry.outcomes(1)[0].error == "error_event"


@pytest.mark.parametrize("status", [400, 429])
def test_a_fault_of_the_client_found_in_the_stream_keeps_the_models_words(status):
    from gateway_tuning.gateway.relay.upstream import error_event

    found = error_event({"message": "too long", "code": status})

    assert (found.status, found.code, found.message, found.clients_own) == (
        status,
        f"status_{status}",
        "too long",
        True,
    )
