"""The filter that says which words a text may hold."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.anonymization.patterns.word_filter import WordFilter, mark

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@given(st.lists(WORDS, min_size=1, max_size=6), st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=300)
def test_a_word_that_stands_in_a_text_is_never_ruled_out(words, before, after):
    possible = list(WordFilter([[word] for word in words]).possible(mark(before + words[0] + after)))

    assert (0, words[0]) in possible


def test_words_that_do_not_stand_in_a_text_are_ruled_out():
    words = WordFilter([["passport", "reisepass"], ["street", "telephone"], ["@"]])

    assert list(words.possible(mark("the telephone is out of order"))) == [(1, "telephone"), (2, "@")]
    assert list(words.possible(mark(""))) == [(2, "@")]


def test_no_words_are_possible_where_there_are_none():
    assert list(WordFilter([[], []]).possible(mark("anything"))) == []
