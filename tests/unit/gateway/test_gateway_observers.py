"""Those who look at answers see what they asked for, and nobody else's texts are kept."""

import openai
import pytest

from gateway_tuning.gateway.relay.answers import TEXT_LIMIT, AnswerText, said_in
from gateway_tuning.gateway.telemetry.metrics import Metrics

MESSAGES = [{"role": "user", "content": "hello"}]


class Watcher:
    def __init__(self, *, curious=True):
        self.seen = []
        self._curious = curious

    def wants(self, answer_id, route):
        return self._curious

    def answered(self, answer):
        self.seen.append(answer)


def ask(gateway, **options):
    return gateway.client().chat.completions.create(model="assistant", messages=MESSAGES, **options)


@pytest.mark.parametrize(("stream", "text"), [(False, "answer of served-v1"), (True, "one two three")])
def test_an_observer_gets_the_answer_whole_or_streamed(start_gateway, registry, until, stream, text):
    watcher, other = Watcher(), Watcher(curious=False)
    answer = ask(start_gateway(observers=[watcher, other]), stream=stream, user="anna")
    if stream:
        list(answer)

    until(lambda: watcher.seen)
    seen = watcher.seen[0]
    assert (seen.text, seen.error, seen.completion_tokens, seen.user) == (text, None, 3, "user:anna")
    assert (seen.answer_id, seen.route.version_id) == (registry.outcomes(1)[0].answer_id, "v1")
    assert seen.body["messages"] == MESSAGES
    assert (len(watcher.seen), other.seen) == (1, [])


class Broken(Watcher):
    def answered(self, answer):
        super().answered(answer)
        raise ValueError("a fault of the observer")


@pytest.mark.parametrize("stream", [False, True])
def test_an_observer_that_fails_spoils_no_answer(start_gateway, registry, stream):
    broken, watcher = Broken(), Watcher()
    answer = ask(start_gateway(observers=[broken, watcher]), stream=stream)
    said = (
        "".join(one.choices[0].delta.content for one in answer)
        if stream
        else answer.choices[0].message.content
    )

    assert said == watcher.seen[0].text
    assert (len(broken.seen), [one.error for one in registry.outcomes(1)]) == (1, [None])


def test_of_a_failure_an_observer_gets_the_error_and_no_text(start_gateway, registry):
    registry.serve("v1", "served-500")
    watcher = Watcher()
    with pytest.raises(openai.InternalServerError):
        ask(start_gateway(observers=[watcher]))

    assert [(one.text, one.error) for one in watcher.seen] == [(None, "status_500")]


def test_a_text_is_kept_where_it_is_wanted_and_up_to_a_bound():
    long = "x" * TEXT_LIMIT
    streamed = AnswerText(keep=True)
    for _ in range(3):
        streamed.add({"content": long[:-10]})

    assert streamed.said().text == long
    assert streamed.said().chars == 3 * (TEXT_LIMIT - 10)
    assert said_in({"choices": [{"message": {"content": "yes"}}]}).text is None


def test_the_tools_that_an_answer_calls_are_told_by_name_whole_or_streamed():
    pieces = AnswerText()
    pieces.add({"tool_calls": [{"index": 0, "function": {"name": "find", "arguments": ""}}]})
    pieces.add({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}, "none", {"index": 1}]})
    whole = {"choices": [{"message": {"tool_calls": [{"function": {"name": "find", "arguments": "{}"}}]}}]}

    assert pieces.said() == said_in(whole)
    assert pieces.said().tools == ("find",)


class Refusing:
    def wants(self, answer_id, route):
        raise ValueError("a text of the user")

    def answered(self, answer):
        raise AssertionError


def test_an_observer_that_cannot_choose_spoils_no_answer(start_gateway, registry, caplog):
    watcher = Watcher()
    ask(start_gateway(observers=[Refusing(), watcher]))
    assert (len(watcher.seen), [one.error for one in registry.outcomes(1)]) == (1, [None])
    assert "ValueError" in caplog.text
    assert "a text of the user" not in caplog.text


@pytest.mark.parametrize("stream", [False, True])
def test_metrics_that_break_spoil_no_answer(start_gateway, registry, until, monkeypatch, stream):
    def break_down(*_args, **_options):
        raise RuntimeError

    monkeypatch.setattr(Metrics, "ended", break_down)
    watcher = Watcher()
    answer = ask(start_gateway(observers=[watcher]), stream=stream)
    if stream:
        list(answer)
    until(lambda: watcher.seen)
    assert [one.error for one in registry.outcomes(1)] == [None]


def test_a_call_in_the_old_form_is_a_call_too():
    text = AnswerText()
    text.add_deltas([{"index": 0, "delta": {"function_call": {"name": "find", "arguments": ""}}}])
    text.add_deltas([{"index": 0, "delta": {"function_call": {"arguments": "{}"}}}])
    assert text.begun
    assert text.said().tools == ("find",)
