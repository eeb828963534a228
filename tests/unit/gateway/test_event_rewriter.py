import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.gateway.relay.stream import EventRewriter
from gateway_tuning.gateway.relay.upstream import UpstreamError

STREAM = (
    b": a comment\n\n"
    b'data: {"model":"served","choices":[{"delta":{"content":"\\u00fc"}}]}\r\n\r\n'
    b'data: {"model":"served","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n'
    b"data: [DONE]\n\n"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=10))
def test_events_cut_anywhere_come_out_the_same(cuts):
    whole, pieces = EventRewriter("logical"), EventRewriter("logical")
    places = [0, *sorted(cuts), len(STREAM)]
    out = b"".join(pieces.feed(STREAM[a:b]) for a, b in itertools.pairwise(places))
    assert out == whole.feed(STREAM)
    assert b"served" not in out
    assert (pieces.done, pieces.complete, pieces.error, pieces.usage) == (
        True,
        True,
        None,
        {"prompt_tokens": 1},
    )


def test_text_is_kept():
    out = EventRewriter("logical").feed(STREAM)
    event = json.loads(out.split(b"data: ")[1])
    assert event["choices"][0]["delta"]["content"] == "ü"


def test_an_error_event_is_noted_and_passed_on():
    events = EventRewriter("logical")
    assert b"overloaded" in events.feed(b'data: {"error": {"message": "overloaded"}}\n\n')
    assert events.error == {"message": "overloaded"}


@pytest.mark.parametrize("line", [b"data: {half\n", b"data: [1]\n", b"data: " + b"x" * (1 << 20)])
def test_what_is_no_event_is_an_error(line):
    with pytest.raises(UpstreamError):
        EventRewriter("logical").feed(line)


def test_only_the_usage_is_hidden_from_whoever_did_not_ask():
    events = EventRewriter("logical", hide_usage=True)
    filtered = events.feed(b'data:{"choices":[],"prompt_filter_results":[1],"usage":null}\n\n')
    assert b"prompt_filter_results" in filtered
    assert events.feed(b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n').strip() == b""
    assert events.usage == {"prompt_tokens": 1}
