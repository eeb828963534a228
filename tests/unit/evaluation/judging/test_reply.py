"""A verdict is read strictly; what a server refuses is left out."""

import pytest

from gateway_tuning.evaluation.judging.asking.reply import LONGEST_REASON, Dialect, Form, read
from gateway_tuning.evaluation.judging.verdict import Verdict


@pytest.mark.parametrize(
    ("content", "verdict", "reason"),
    [
        ('{"reason": "clear", "better": "A"}', Verdict.FIRST, "clear"),
        ('{"better": "B"}', Verdict.SECOND, ""),
        (' \n{"better": "tie", "reason": "same"}\n', Verdict.TIE, "same"),
        ('```json\n{"better": "A"}\n```', Verdict.FIRST, ""),
        ('<think>B is longer. {"better": "B"}</think>\n{"better": "A"}', Verdict.FIRST, ""),
        ('{"better": "A", "reason": "a\\u0000b\\ud800"}', Verdict.FIRST, "ab?"),
    ],
)
def test_a_verdict_is_read(content, verdict, reason):
    assert read(content) == (verdict, reason)


@pytest.mark.parametrize(
    "content",
    [
        "A",
        "The better answer is A",
        'Sure! {"better": "A"}',
        '{"better": "a"}',
        '{"better": "A or B"}',
        '{"better": ["A"]}',
        '{"better": "A", "better": "A"}',
        '{"better": "A", "reason": 3}',
        '{"reason": "A"}',
        '"A"',
        "null",
        "[" * 100_000,
    ],
)
def test_anything_else_is_no_verdict(content):
    assert read(content) is None


def test_a_long_reason_is_kept_in_part():
    assert len(read(f'{{"better": "A", "reason": "{"x" * 5_000}"}}')[1]) == LONGEST_REASON


def test_what_a_server_names_is_left_out_and_else_the_format_is_loosened_until_nothing_is_left():
    full = Dialect()

    assert full.without("Use 'max_completion_tokens' instead").parameters(0, 100).keys() == {
        "max_completion_tokens",
        "temperature",
        "seed",
        "response_format",
    }
    assert "temperature" not in full.without("'temperature' does not support 0").parameters(0, 100)
    assert "seed" not in full.without("['body', 'seed'] Extra inputs are not permitted").parameters(0, 100)
    looser = full.without("something is wrong")
    assert looser.form is Form.JSON_OBJECT
    loosest = looser.without("something is wrong")
    assert "response_format" not in loosest.parameters(0, 100)
    assert loosest.without("something is wrong") is None


def test_a_dialect_is_looser_where_it_sends_less():
    full = Dialect()
    without_seed = full.without("seed")
    as_object = full.without("no schema")

    assert without_seed.is_looser_than(full)
    assert not full.is_looser_than(without_seed)
    assert not full.is_looser_than(full)
    assert not without_seed.is_looser_than(as_object)
