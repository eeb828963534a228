import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.evaluation.reporting.differences import MOST_WORDS, marked

WORDS = st.lists(st.sampled_from(["a", "gift", "card", ".", "\n", "  ", "你好", "é", "<b>"]), max_size=30)


def changed(pieces):
    return [piece.text.strip() for piece in pieces if piece.changed]


def joined(pieces):
    return "".join(piece.text for piece in pieces)


def test_words_that_one_answer_lacks_are_marked_in_the_other():
    found = marked("Use the card at the end.", "Use the gift card at the end!")

    assert changed(found.before) == ["."]
    assert changed(found.after) == ["gift", "!"]


def test_white_space_is_no_difference():
    found = marked("one two  three", "one\ntwo three")

    assert changed(found.before) == changed(found.after) == []


def test_characters_of_a_script_without_spaces_are_compared_one_by_one():
    found = marked("我喜欢红茶", "我喜欢绿茶")

    assert changed(found.before) == ["红"]
    assert changed(found.after) == ["绿"]


@given(WORDS, WORDS)
def test_no_text_is_lost_or_added(first, second):
    before, after = " ".join(first), "".join(second)

    found = marked(before, after)

    assert joined(found.before) == before
    assert joined(found.after) == after


@given(WORDS, WORDS)
def test_what_is_not_marked_reads_the_same_in_both(first, second):
    found = marked(" ".join(first), " ".join(second))

    if found.note is None:
        kept = [
            [piece.text.split() for piece in side if not piece.changed]
            for side in (found.before, found.after)
        ]
        assert [word for words in kept[0] for word in words] == [word for words in kept[1] for word in words]


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        ("same", "same", "Both answers are the same"),
        ("one two three four", "five six seven eight", "Nearly all words differ"),
        ("word " * (MOST_WORDS + 1), "word", "marked up to 1,000 words"),
        ("on and " * 250, "on " * 500, "repeat too often"),
    ],
)
def test_where_nothing_is_marked_it_is_said_why(before, after, note):
    found = marked(before, after)

    assert note in found.note
    assert changed(found.before) == changed(found.after) == []
