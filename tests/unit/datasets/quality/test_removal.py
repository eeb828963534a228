"""The best-rated of equals stays, and labels are cut to their ratio, whatever the order."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.draft import Context, Draft, Source, joined
from gateway_tuning.datasets.example import ExampleKind, ToolCall, Turn
from gateway_tuning.datasets.quality.balance import balance
from gateway_tuning.datasets.quality.deduplicate import Candidate, duplicates
from gateway_tuning.datasets.quality.policy import QualityPolicy
from gateway_tuning.datasets.quality.sample import Rating, conversation, sample_of
from gateway_tuning.feedback.record import FeedbackType
from tests.conftest import NOW

PLAIN = Rating(corrected=False, raters=1, newest=NOW)
ONE = Candidate("b", ExampleKind.DEMONSTRATION, 1, 1, None, None, PLAIN)


def left_out(*candidates, **options):
    return [(one.id, one.kept) for one in duplicates(candidates, **options)]


def test_a_correction_beats_many_likes_which_beat_a_newer_one():
    corrected = replace(ONE, id="d", rating=PLAIN._replace(corrected=True))
    liked = replace(ONE, id="c", rating=PLAIN._replace(raters=5))
    newer = replace(ONE, id="a", rating=PLAIN._replace(newest=NOW + timedelta(days=1)))

    assert left_out(ONE, newer, liked, corrected) == [("a", "d"), ("b", "d"), ("c", "d")]
    assert left_out(ONE, newer, liked) == [("a", "c"), ("b", "c")]
    assert left_out(ONE, newer) == [("b", "a")]


def test_of_equally_rated_ones_the_smallest_id_stays():
    assert left_out(ONE, replace(ONE, id="a"), replace(ONE, id="c")) == [("b", "a"), ("c", "a")]


@pytest.mark.parametrize(
    "difference",
    [
        {"kind": ExampleKind.PREFERENCE},
        {"prompt": 2},
        {"answer": 2},
        {"rejected": 2},
        {"desirable": True},
    ],
    ids=str,
)
def test_what_differs_in_one_respect_is_no_duplicate(difference):
    assert left_out(ONE, replace(ONE, id="a", **difference)) == []


def test_the_ranking_can_be_another():
    oldest = replace(ONE, id="a", rating=PLAIN._replace(newest=NOW - timedelta(days=1)))

    assert left_out(ONE, oldest, rank=lambda one: -one.rating.newest.timestamp()) == [("b", "a")]


def test_the_reason_names_the_one_that_stays():
    (found,) = duplicates([ONE, replace(ONE, id="a")])

    assert (found.reason.code, found.reason.text) == ("near_duplicate_of", "near_duplicate_of a")


candidates = st.lists(
    st.builds(
        Candidate,
        st.uuids().map(str),
        st.sampled_from(ExampleKind),
        st.integers(0, 2),
        st.integers(0, 2),
        st.none(),
        st.none() | st.booleans(),
        st.builds(Rating, st.booleans(), st.integers(1, 2), st.just(NOW)),
    ),
    unique_by=lambda one: one.id,
)


@given(candidates, st.randoms(use_true_random=False))
def test_one_of_each_group_stays_whatever_the_order(every, chance):
    shuffled = chance.sample(every, len(every))

    found = duplicates(every)

    assert duplicates(shuffled) == found
    stay = {one.id for one in every} - {one.id for one in found}
    assert {one.kept for one in found} <= stay
    assert len(stay) == len({(one.kind, one.prompt, one.answer, one.desirable) for one in every})


def source(id_, *, type_=FeedbackType.THUMBS_UP, subject=None, days=0):
    return Source("default", id_, type_, NOW + timedelta(days=days), subject, None)


def draft(kind=ExampleKind.DEMONSTRATION, *sources):
    return Draft(
        kind, Context((Turn("system", "Be kind."), Turn("user", "Hi"))), "Hello", sources=list(sources)
    )


def test_a_rater_counts_once_and_an_unknown_one_by_record():
    made = draft(
        ExampleKind.DEMONSTRATION, source("1", subject="s"), source("2", subject="s", days=2), source("3")
    )

    assert sample_of(made).rating == Rating(corrected=False, raters=2, newest=NOW + timedelta(days=2))


def test_what_a_human_wrote_is_told_from_what_one_liked_and_stays_so_when_others_like_it_too():
    liked, written = (draft(ExampleKind.DEMONSTRATION, source(id_)) for id_ in ("1", "2"))
    written.corrected = True

    assert not sample_of(liked).rating.corrected
    (one,) = joined([liked, written])
    assert sample_of(one).rating == Rating(corrected=True, raters=2, newest=NOW)


def test_the_prompt_is_told_from_what_tools_say_after_it_and_the_system_prompt_is_left_out():
    call = ToolCall("c1", "find_order", '{"id": 7}')
    messages = (
        Turn("system", "Be kind."),
        Turn("user", "Where is order 7?"),
        Turn("assistant", "", (call,)),
        Turn("tool", "on its way", tool_call_id="c1"),
    )
    made = Draft(ExampleKind.DEMONSTRATION, Context(messages), "It comes.", sources=[source("1")])

    sample = sample_of(made)

    assert sample.prompt == "Where is order 7?"
    assert sample.texts == ("", "on its way", "Where is order 7?", "It comes.")
    assert conversation(messages) == 'Be kind.\nWhere is order 7?\n\nfind_order {"id": 7}\non its way'


def labels(desirable, undesirable):
    return [(f"d{n}", True) for n in range(desirable)] + [(f"u{n}", False) for n in range(undesirable)]


@pytest.mark.parametrize(("larger", "smaller"), [((900, 50), (200, 50)), ((50, 900), (50, 200))])
def test_the_larger_class_is_cut_to_the_ratio(larger, smaller):
    found = balance(labels(*larger), QualityPolicy(max_label_ratio=4, min_label_count=0))

    assert found.before == dict(zip((True, False), larger, strict=True))
    assert found.after == dict(zip((True, False), smaller, strict=True))
    assert found.ratio == 4
    assert {reason.code for _, reason in found.rejected} == {"label_over_ratio"}


def test_the_floor_holds_and_what_is_within_the_ratio_stays():
    assert balance(labels(900, 50), QualityPolicy(min_label_count=600)).after == {True: 600, False: 50}
    assert balance(labels(90, 50), QualityPolicy(min_label_count=0)).rejected == ()


def test_without_the_other_class_nothing_is_cut_and_the_ratio_is_unknown():
    found = balance(labels(900, 0), QualityPolicy(min_label_count=10))

    assert (found.rejected, found.ratio) == ((), None)
    assert balance([], QualityPolicy()).ratio is None


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 30), st.randoms(use_true_random=False))
def test_balance_is_the_same_in_every_order_and_keeps_its_promise(desirable, undesirable, floor, chance):
    policy = QualityPolicy(max_label_ratio=1.5, min_label_count=floor)
    every = labels(desirable, undesirable)

    found = balance(every, policy)

    assert balance(chance.sample(every, len(every)), policy) == found
    smaller, larger = sorted(found.after.values())
    if smaller:
        assert larger <= max(1.5 * smaller, floor)
    assert sum(found.after.values()) + len(found.rejected) == len(every)


def test_neither_names_nor_times_decide_who_is_cut():
    policy = QualityPolicy(max_label_ratio=1, min_label_count=0)
    rejected = [id_ for id_, _ in balance(labels(1000, 500), policy).rejected]

    first_half = sorted(id_ for id_, desirable in labels(1000, 500) if desirable)[:500]
    assert 200 < len(set(rejected) & set(first_half)) < 300


def test_those_that_stay_mostly_stay_as_data_grows():
    policy = QualityPolicy(max_label_ratio=2, min_label_count=0)
    before = {id_ for id_, _ in balance(labels(3000, 500), policy).rejected}
    after = {id_ for id_, _ in balance(labels(3600, 600), policy).rejected}

    stayed = {f"d{n}" for n in range(3000)} - before
    assert len(stayed & after) < 0.1 * len(stayed)
