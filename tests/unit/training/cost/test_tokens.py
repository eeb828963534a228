from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.example import ExampleKind, ToolCall, Turn
from gateway_tuning.datasets.formats.content import Content
from gateway_tuning.training.cost.tokens import (
    ACCENTED_ERROR,
    ENGLISH_ERROR,
    OTHER_ERROR,
    approximate_tokens,
    approximated,
    conversations,
)


def chat(question, answer, **more):
    return Content(ExampleKind.DEMONSTRATION, (Turn("user", question),), answer, **more)


def test_english_is_a_token_for_four_characters_plus_what_stands_around_messages_and_chats():
    count = approximated([chat("a" * 40, "b" * 80)], why="testing")

    assert count.tokens == 10 + 20 + 2 * 4 + 3
    assert (count.examples, count.error, count.method) == (1, ENGLISH_ERROR, "characters: testing")


def test_a_preference_is_read_with_either_answer():
    pair = Content(ExampleKind.PREFERENCE, (Turn("user", "q" * 40),), "a" * 40, rejected="b" * 400)

    assert [texts[-1] for texts in conversations(pair)] == [("assistant", "a" * 40), ("assistant", "b" * 400)]
    assert approximated([pair], why="").tokens == 10 + 10 + 11 + 10 + 100 + 11


def test_tools_and_their_calls_are_counted():
    plain = chat("weather?", "sunny")
    with_tools = Content(
        ExampleKind.DEMONSTRATION,
        (
            Turn("user", "weather?"),
            Turn("assistant", "", (ToolCall("1", "forecast", '{"city": "Bern"}'),)),
            Turn("tool", "sunny", tool_call_id="1"),
        ),
        "sunny",
        tools=('{"type": "function", "function": {"name": "forecast"}}',),
    )

    assert approximated([with_tools], why="").tokens > 2 * approximated([plain], why="").tokens


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Where is my order? It is late.", ENGLISH_ERROR),
        ("Wo finde ich die Rechnung für die letzte Bestellung?", ACCENTED_ERROR),
        ("Где мой заказ? Он опаздывает.", OTHER_ERROR),
        ("我的订单在哪里", OTHER_ERROR),
    ],
)
def test_the_script_of_a_text_tells_how_wrong_its_count_may_be(text, error):
    assert approximated([chat("Where is it?", text)], why="").error == error


def test_a_letter_of_a_wide_script_is_a_token_and_one_of_another_alphabet_half_a_token():
    assert approximate_tokens("我的订单在") == 5
    assert approximate_tokens("заказ") == 3


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_counts_for_less_than_nothing_and_more_of_it_is_never_fewer_tokens(one, other):
    assert approximate_tokens(one) >= 0
    assert approximate_tokens("a" * len(one)) <= approximate_tokens("a" * len(one + other))


def test_nothing_has_no_tokens():
    count = approximated([], why="")

    assert (count.tokens, count.examples) == (0, 0)
    assert count.share_of(Decimal(3)) == 0
