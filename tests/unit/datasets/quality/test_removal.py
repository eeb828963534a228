"""The best-rated of equals stays, and labels are cut to their ratio, whatever the order."""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.draft import Context, Draft, Source, joined
from gateway_tuning.datasets.example import ExampleKind, ToolCall, Turn
from gateway_tuning.datasets.quality.balance import balance
from gateway_tuning.datasets.quality.deduplicate import best_of_equals
from gateway_tuning.datasets.quality.policy import QualityPolicy
from gateway_tuning.datasets.quality.sample import Rating, conversation, sample_of
from gateway_tuning.feedback.record import FeedbackType
from tests.conftest import NOW

COLUMNS = {"kind": 0, "label": -1, "context": 1, "answer": 1, "rival": 0}
RANKS = {"corrected": False, "raters": 1, "newest": 0}


@dataclass(frozen=True)
class One:
    id: int
    given: dict = field(default_factory=dict)

    def __getitem__(self, name):
        return (COLUMNS | RANKS | self.given)[name]


def left_out(*every):
    """Those that do not stay, each with the one that does."""
    stays = best_of_equals(
        same=[np.array([one[name] for one in every]) for name in COLUMNS],
        rank=[np.array([one[name] for one in every]) for name in RANKS],
        ids=np.array([one.id for one in every], np.uint64),
    )
    return {
        one.id: every[place].id for one, place in zip(every, stays, strict=True) if every[place] is not one
    }


def test_a_correction_beats_many_likes_which_beat_a_newer_one():
    plain, newer = One(2), One(1, {"newest": 9})
    liked, corrected = One(3, {"raters": 5}), One(4, {"corrected": True})

    assert left_out(plain, newer, liked, corrected) == {1: 4, 2: 4, 3: 4}
    assert left_out(plain, newer, liked) == {1: 3, 2: 3}
    assert left_out(plain, newer) == {2: 1}


def test_of_equally_rated_ones_the_smallest_id_stays():
    assert left_out(One(2), One(1), One(3)) == {2: 1, 3: 1}


@pytest.mark.parametrize("column", COLUMNS)
def test_what_differs_in_one_respect_is_no_duplicate(column):
    assert left_out(One(2), One(1, {column: 7})) == {}


def test_of_nothing_nothing_is_left_out():
    assert best_of_equals(same=[np.empty(0, int)], rank=[], ids=np.empty(0, np.uint64)).tolist() == []


several = st.lists(
    st.builds(
        One,
        st.integers(0, 2**63),
        st.fixed_dictionaries(
            {
                "kind": st.integers(0, 2),
                "context": st.integers(0, 2),
                "answer": st.integers(0, 2),
                "corrected": st.booleans(),
                "raters": st.integers(1, 2),
            }
        ),
    ),
    unique_by=lambda one: one.id,
)


@given(several, st.randoms(use_true_random=False))
def test_one_of_each_group_stays_whatever_the_order(every, chance):
    found = left_out(*every) if every else {}

    assert (left_out(*chance.sample(every, len(every))) if every else {}) == found
    stay = {one.id for one in every} - found.keys()
    assert set(found.values()) <= stay
    assert len(stay) == len({tuple(one[name] for name in COLUMNS) for one in every})


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
