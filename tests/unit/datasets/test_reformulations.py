from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.reformulations import MiningPolicy, mine, overlap
from gateway_tuning.datasets.statements import read_mined
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType
from tests.conftest import NOW

POLICY = MiningPolicy()
POOR = {"type_": "thumbs_down", "prompt": "How do I get a refund?", "response": "Ask your bank."}
GOOD = {"prompt": "refund of an order, how?", "response": "Open Orders and press Refund."}


def pair(make_record, *, minutes=2.0, poor=POOR, good=GOOD, user="ann", **both):
    return [
        make_record("first", user_id=user, **(poor | both)),
        make_record("second", user_id=user, timestamp=NOW + timedelta(minutes=minutes), **(good | both)),
    ]


def test_a_poor_answer_then_the_question_in_other_words_and_a_good_answer_are_a_preference(make_record):
    (mined,) = mine(pair(make_record), POLICY)

    (draft,) = read_mined(mined, mined.record, lambda user: user and f"subject of {user}")
    assert (draft.context.prompt, draft.answer, draft.rejected) == (
        "How do I get a refund?",
        "Open Orders and press Refund.",
        "Ask your bank.",
    )
    assert draft.confidence == mined.confidence
    assert 0.5 < draft.confidence < 1
    assert [source.feedback_id for source in draft.sources] == ["first", "second"]


def test_the_reason_says_how_it_was_found_and_quotes_nothing(make_record):
    (mined,) = mine(pair(make_record, conversation_id="c"), POLICY)

    assert mined.reason == (
        "asked again after 120 s in other words (83% of the topic words shared, in the same conversation) "
        "and then satisfied"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"minutes": 16},
        {"minutes": -1},
        {"user": None},
        {"good": {**GOOD, "prompt": "Where is my parcel?"}},
        {"good": {**GOOD, "prompt": "how do I get a REFUND"}},
        {"good": {**GOOD, "response": POOR["response"]}},
        {"good": {**GOOD, "type_": "thumbs_down"}},
        {"good": {**GOOD, "type_": "text", "comment": "hm"}},
        {"poor": {**POOR, "type_": "thumbs_up"}},
        {"poor": {**POOR, "corrected_response": "Press Refund."}},
    ],
    ids=[
        "too late",
        "in the wrong order",
        "nobody known",
        "another question",
        "the same words",
        "the same answer",
        "not satisfied",
        "no rating",
        "not poor",
        "corrected",
    ],
)
def test_what_breaks_a_rule_is_no_pair(make_record, change):
    assert mine(pair(make_record, **change), POLICY) == []


def test_two_people_are_never_paired(make_record):
    first, second = pair(make_record)

    assert mine([first, second.model_copy(update={"user_id": "bob"})], POLICY) == []


def test_sooner_in_one_conversation_and_stronger_is_more_certain(make_record):
    def confidence(**change):
        return mine(pair(make_record, **change), POLICY)[0].confidence

    plain = confidence()
    assert confidence(minutes=14) < plain < confidence(conversation_id="c")
    assert confidence(poor={**POOR, "satisfaction_score": -0.4}) < plain


def test_a_pair_that_is_hardly_certain_is_dropped(make_record):
    weak = pair(
        make_record,
        minutes=15,
        poor={**POOR, "satisfaction_score": -0.1},
        good={**GOOD, "satisfaction_score": 0.1},
    )

    assert mine(weak, POLICY) == []
    assert mine(weak, MiningPolicy(min_confidence=0)) != []


def test_one_good_answer_settles_every_attempt_before_it_and_each_attempt_once(make_record):
    tries = [
        make_record(
            f"t{i}", user_id="ann", timestamp=NOW + timedelta(minutes=i), **{**POOR, "response": f"No {i}."}
        )
        for i in range(5)
    ]
    good = [
        make_record(f"g{i}", user_id="ann", timestamp=NOW + timedelta(minutes=6 + i), **GOOD)
        for i in range(2)
    ]

    mined = mine([*good, *tries], POLICY)

    assert {(one.first.id, one.second.id) for one in mined} == {
        ("t4", "g0"), ("t3", "g0"), ("t2", "g0"), ("t1", "g1"), ("t0", "g1"),
    }  # fmt: skip


words = st.sampled_from(["refund order", "refund of orders", "password reset", "reset my password", "hello"])
feedback = st.builds(
    FeedbackRecord,
    id=st.uuids().map(str),
    user_id=st.none() | st.sampled_from("ab"),
    type=st.sampled_from([FeedbackType.THUMBS_UP, FeedbackType.THUMBS_DOWN]),
    prompt=words,
    response=st.sampled_from("xyz"),
    timestamp=st.integers(0, 40).map(lambda minutes: NOW + timedelta(minutes=minutes)),
)


@given(st.lists(feedback, max_size=20), st.randoms())
def test_the_order_of_records_does_not_matter_and_no_poor_answer_is_used_twice(records, random):
    shuffled = list(records)
    random.shuffle(shuffled)

    mined = mine(records, POLICY)

    assert mine(shuffled, POLICY) == mined
    assert len({one.first.id for one in mined}) == len(mined)
    for one in mined:
        assert one.first.user_id == one.second.user_id is not None
        assert timedelta(0) <= one.second.timestamp - one.first.timestamp <= POLICY.within


@given(st.text(), st.text())
def test_overlap_is_a_share_and_the_same_both_ways(first, second):
    assert 0 <= overlap(first, second) == overlap(second, first) <= 1
