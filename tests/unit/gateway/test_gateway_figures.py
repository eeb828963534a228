"""Figures of questions and answers that the gateway keeps. Their texts it does not."""

import itertools

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.gateway.relay.answers import AnswerText, Said, said_in
from gateway_tuning.gateway.requests import text_length

DECLINES = "I'm sorry, but I can't help with that request. "


def said(*deltas):
    text = AnswerText()
    text.add_deltas([{"index": 0, "delta": delta} for delta in deltas])
    return text.said()


@pytest.mark.parametrize(
    ("stream", "chars"), [(False, len("answer of served-v1")), (True, len("one two three"))]
)
def test_lengths_and_refusal_of_an_answer_are_stored_whole_or_streamed(gateway, registry, stream, chars):
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "a long answer"}]
    answer = gateway.client().chat.completions.create(
        model="assistant", messages=[*messages, {"role": "user", "content": "and now?"}], stream=stream
    )
    if stream:
        list(answer)

    stored = registry.outcomes(1)[0]
    assert (stored.prompt_chars, stored.answer_chars, stored.refused) == (len("and now?"), chars, False)


@pytest.mark.parametrize("stream", [False, True])
def test_of_an_answer_that_failed_nothing_is_known_but_its_question(start_gateway, registry, stream):
    registry.serve("v1", "served-500")
    body = {"model": "assistant", "messages": [{"role": "user", "content": "hello"}], "stream": stream}

    httpx.post(f"{start_gateway().url}/v1/chat/completions", json=body)

    stored = registry.outcomes(1)[0]
    assert stored.error == "status_500"
    assert (stored.prompt_chars, stored.answer_chars, stored.refused) == (5, None, None)


@given(st.lists(st.integers(0, len(DECLINES * 9)), max_size=12))
def test_a_streamed_answer_is_what_the_whole_one_is_wherever_it_was_cut(cuts):
    text = DECLINES * 9
    places = [0, *sorted(cuts), len(text)]
    deltas = [{"content": text[start:end]} for start, end in itertools.pairwise(places)]

    assert said(*deltas) == said_in({"choices": [{"message": {"content": text}}]}) == Said(len(text), True)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({"content": "It is on its way."}, Said(17, False)),
        ({"content": None, "refusal": "No."}, Said(3, True)),
        ({"content": None, "tool_calls": [{}]}, Said(None, None)),
        ({"content": ""}, Said(None, None)),
        ({}, Said(None, None)),
        ("no message", Said(None, None)),
    ],
)
def test_an_answer_without_text_is_not_known_and_not_empty(message, found):
    assert said_in({"choices": [{"message": message}]}) == found


def test_of_several_choices_the_first_is_looked_at():
    text = AnswerText()
    text.add_deltas([{"index": 1, "delta": {"content": "other"}}, {"delta": {"content": "ours"}}, "none"])

    assert text.said() == Said(4, False)


@pytest.mark.parametrize(
    ("content", "length"),
    [
        ("hello", 5),
        ([{"type": "text", "text": "hello"}, {"type": "image_url"}, {"type": "text", "text": "you"}], 8),
        ([{"type": "image_url"}], None),
        (None, None),
    ],
)
def test_the_text_of_a_message_may_stand_in_parts(content, length):
    assert text_length(content) == length
