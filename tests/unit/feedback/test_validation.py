from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway_tuning.feedback.record import Message, RequestContext
from gateway_tuning.feedback.validation import problems

LONG_AGO = datetime(2014, 12, 31, tzinfo=UTC)
FAR_AHEAD = datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))
FAR_BACK = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))


def test_a_sound_record_has_no_problems(make_record, now):
    assert problems(make_record(), now=now) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"prompt": " \n"}, "Original prompt cannot be empty"),
        ({"response": ""}, "Model response cannot be empty"),
        ({"type": "correction"}, "Manual correction feedback requires a corrected response"),
        (
            {"type": "correction", "corrected_response": " "},
            "Manual correction feedback requires a corrected response",
        ),
        (
            {"type": "correction", "corrected_response": "It is on  its way\nto you. "},
            "Corrected response equals the model response",
        ),
        ({"satisfaction_score": 1.01}, "Satisfaction score must be between -1 and 1"),
        (
            {"type": "text", "comment": "x", "satisfaction_score": -3},
            "Satisfaction score must be between -1 and 1",
        ),
        ({"satisfaction_score": float("inf")}, "Satisfaction score must be between -1 and 1"),
        ({"satisfaction_score": float("nan")}, "Satisfaction score is not a number"),
        ({"type": "reformulation"}, "Reformulation feedback requires the second wording"),
        (
            {"type": "reformulation", "reformulated_prompt": "Where is order 1?"},
            "Second wording equals the original prompt",
        ),
        ({"type": "text"}, "Text feedback requires a comment"),
        ({"type": "automatic_evaluation"}, "Automatic evaluation requires a satisfaction score"),
        ({"satisfaction_score": -0.5}, "Thumbs up contradicts a negative satisfaction score"),
        (
            {"type": "thumbs_down", "satisfaction_score": 0.5},
            "Thumbs down contradicts a positive satisfaction score",
        ),
        ({"timestamp": datetime(2026, 1, 1)}, "Timestamp has no time zone: 2026-01-01T00:00:00"),  # noqa: DTZ001
        ({"timestamp": LONG_AGO}, "Timestamp lies before 2015: 2014-12-31T00:00:00+00:00"),
        ({"timestamp": FAR_BACK}, "Timestamp lies before 2015: 0001-01-01T00:00:00+14:00"),
        ({"timestamp": FAR_AHEAD}, "Timestamp lies in the future: 9999-12-31T23:59:59.999999-14:00"),
        ({"response": "x" * 100_001}, "response is too long: 100,001 characters, the limit is 100,000"),
        ({"comment": "a\0b"}, "comment holds a NUL character: at character 2 of comment"),
        ({"metadata": {"k\0": "v"}}, "metadata holds a NUL character: at character 2 of metadata"),
        (
            {"history": (Message(role="user", content="\0"),)},
            "history holds a NUL character: at character 1 of history.0.content",
        ),
        (
            {"request": RequestContext(parameters={"a": "\0"})},
            "request holds a NUL character: at character 1 of request",
        ),
        ({"id": "\0"}, "id holds a NUL character: at character 1 of id"),
    ],
)
def test_what_is_wrong_with_a_record_is_told(make_record, now, changes, problem):
    assert problems(make_record(**changes), now=now) == [problem]


def test_half_a_surrogate_pair_is_told_even_where_no_parser_has_stopped_it(make_record, now):
    record = make_record().model_copy(update={"comment": "\ud83d"})

    assert problems(record, now=now) == ["comment holds half of a surrogate pair: at character 1 of comment"]


def test_all_problems_are_told_at_once(make_record, now):
    record = make_record(type="correction", prompt="", response="", satisfaction_score=3, timestamp=LONG_AGO)

    assert len(problems(record, now=now)) == 5


@pytest.mark.parametrize(
    ("ahead", "is_fine"), [(timedelta(minutes=5), True), (timedelta(minutes=5, seconds=1), False)]
)
def test_a_clock_may_be_five_minutes_ahead(make_record, now, ahead, is_fine):
    assert (problems(make_record(timestamp=now + ahead), now=now) == []) is is_fine


def test_the_longest_text_is_a_setting(make_record, now):
    assert problems(make_record(response="x" * 11), now=now, max_text_length=11) != []
    assert problems(make_record(prompt="Why?", response="x" * 11), now=now, max_text_length=11) == []


def test_fields_that_are_not_known_are_not_judged(make_record, now):
    record = make_record(type="correction", prompt="", timestamp=LONG_AGO)

    assert problems(record, now=now, ignoring=frozenset({"type", "timestamp"})) == [
        "Original prompt cannot be empty"
    ]


@pytest.mark.parametrize("score", [-1, 1, 0, None])
def test_the_ends_of_the_scale_and_no_score_are_fine(make_record, now, score):
    record = make_record(type="text", comment="so so", satisfaction_score=score)

    assert problems(record, now=now) == []
