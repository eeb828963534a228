"""Events as LiteLLM 1.108 sends them; test_litellm_proxy.py has it send them."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from gateway_tuning.bridges.litellm_events import MARK, read_event
from gateway_tuning.gateway.relay.answers import Said

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


class HTTPException(Exception):  # noqa: N818 - as LiteLLM's own server raises it
    pass


class Timeout(Exception):  # noqa: N818 - LiteLLM's name
    pass


class MidStreamFallbackError(Exception):
    pass


def response(content="It is on its way.", prompt_tokens=7, completion_tokens=3):
    message = SimpleNamespace(content=content)
    usage = SimpleNamespace(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
    return SimpleNamespace(choices=[SimpleNamespace(message=message)], usage=usage)


def read(answer=None, *, code="", kind="", metadata=None, **kwargs):
    logged = {
        "status": "failure" if "exception" in kwargs else "success",
        "model_group": "served-v1",
        "error_information": {"error_code": code, "error_class": kind},
    }
    told = {"litellm_params": {"metadata": metadata or {}}, "standard_logging_object": logged, **kwargs}
    return read_event(told, answer, START, START + timedelta(seconds=2))


def test_an_answer_has_its_time_tokens_and_lengths():
    event = read(response(), metadata={MARK: {"x-gateway-answer-id": "a1"}})

    assert (event.error, event.group, event.latency_ms, event.first_token_ms) == (
        None,
        "served-v1",
        2000.0,
        None,
    )
    assert (event.prompt_tokens, event.completion_tokens) == (7, 3)
    assert event.said == Said(17, refused=False)
    assert event.mark == {"x-gateway-answer-id": "a1"}


def test_a_stream_has_the_time_to_its_first_part_beside_that_of_the_whole():
    event = read(response(), stream=True, completion_start_time=START + timedelta(seconds=0.5))

    assert (event.first_token_ms, event.latency_ms) == (500.0, 2000.0)


def test_a_usage_of_zeros_is_unknown():
    event = read(response(prompt_tokens=0, completion_tokens=0))

    assert (event.prompt_tokens, event.completion_tokens) == (None, None)


def test_an_answer_without_choices_is_none():
    assert read(SimpleNamespace(choices=[])).error == "no_choices"


def test_an_answer_without_text_has_no_length():
    assert read(response(content=None)).said == Said(None, None)


def test_a_client_that_left_is_told_as_a_success_and_is_none():
    event = read(response(), code="499", kind="ClientDisconnected")

    assert event.error == "interrupted"
    assert event.said is None


@pytest.mark.parametrize(
    ("exception", "code", "began", "expected"),
    [
        (ValueError(), "500", False, "status_500"),
        (ValueError(), "429", False, "status_429"),
        (Timeout(), "408", False, "timeout"),
        (ConnectionError(), "", False, "unreachable"),
        (ConnectionError(), "", True, "connection_lost"),
        (MidStreamFallbackError(), "", True, "connection_lost"),
        (ValueError(), "", False, "failed"),
    ],
)
def test_a_failure_has_the_code_that_the_gateway_gives_it(exception, code, began, expected):
    started = START if began else None
    event = read(
        None,
        code=code,
        kind=type(exception).__name__,
        exception=exception,
        stream=True,
        completion_start_time=started,
    )

    assert event.error == expected
    assert not event.is_refusal


def test_what_litellm_itself_turns_down_reached_no_model():
    assert read(None, code="429", exception=HTTPException()).is_refusal


def test_an_event_that_says_nothing_of_itself_is_a_failure_without_a_mark():
    event = read_event({"exception": ValueError()}, None, START, START)

    assert (event.mark, event.group, event.error) == (None, None, "failed")
