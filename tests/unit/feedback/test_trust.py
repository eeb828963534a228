from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.trust import account, assess
from gateway_tuning.feedback.trust_policy import TrustPolicy
from tests.conftest import NOW


def rated(number, user, *, tenant="default", **changes):
    fields = {"type": "thumbs_up", "prompt": f"p{number}", "response": f"r{number}", "tenant": tenant}
    at = NOW - timedelta(hours=number)
    return FeedbackRecord(**{"id": f"f{number}", "user_id": user, "timestamp": at, **fields, **changes})


def test_a_flood_by_one_user_is_cut_to_their_share_of_what_is_kept():
    others = [rated(number, f"user-{number}") for number in range(2000)]
    flood = [rated(number, "flood") for number in range(2000, 5000)]

    kept = assess([*others, *flood], TrustPolicy()).kept

    given = Counter(record.user_id for record in kept)
    assert given["flood"] == 20  # 1 % of 2020
    assert len(kept) == 2020


def test_the_newest_records_of_a_user_are_kept_and_the_others_say_why_not():
    assessment = assess([rated(number, "ann") for number in range(12)], TrustPolicy(min_records_a_user=10))

    assert [record.id for record in assessment.kept] == [f"f{number}" for number in range(9, -1, -1)]
    assert [(refusal.record.id, refusal.code) for refusal in assessment.capped] == [
        ("f11", "over_user_cap"),
        ("f10", "over_user_cap"),
    ]
    assert assessment.capped[0].reason == "older than the 10 newest records that a user may give"


def test_records_without_a_user_are_nobodys_flood():
    assert assess([rated(number, None) for number in range(100)], TrustPolicy()).capped == ()
    assert account(rated(1, None)) != account(rated(2, None))


def test_users_of_one_name_in_two_tenants_are_two_users():
    assert account(rated(1, "ann", tenant="a")) != account(rated(2, "ann", tenant="b"))


def test_one_tenant_alone_has_no_tenant_cap_and_several_share_by_it():
    one = [rated(number, f"u{number}", tenant="big") for number in range(3000)]
    small = [rated(number, f"u{number}", tenant=f"t{number % 40}") for number in range(3000, 5000)]

    assert len(assess(one, TrustPolicy()).kept) == 3000
    pooled = assess([*one, *small], TrustPolicy())
    given = Counter(record.tenant for record in pooled.kept)
    assert given["big"] == 105  # 5 % of 2105
    assert {refusal.code for refusal in pooled.capped} == {"over_tenant_cap"}


people = st.lists(
    st.tuples(st.none() | st.sampled_from("abcdef"), st.sampled_from("xyz"), st.integers(0, 5)), max_size=60
)
policies = st.builds(
    TrustPolicy,
    max_user_share=st.floats(0.01, 1),
    min_records_a_user=st.integers(1, 8),
    max_tenant_share=st.floats(0.05, 1),
    min_records_a_tenant=st.integers(1, 20),
)


@settings(max_examples=200)
@given(people, policies, st.randoms(use_true_random=False))
def test_nobody_is_above_the_bound_nothing_is_lost_and_order_does_not_matter(givers, policy, chance):
    records = [
        rated(number, user, tenant=tenant, timestamp=NOW - timedelta(hours=hour))
        for number, (user, tenant, hour) in enumerate(givers)
    ]
    assessment = assess(records, policy)
    shuffled = list(records)
    chance.shuffle(shuffled)

    kept = len(assessment.kept)
    by_user = Counter(map(account, assessment.kept))
    by_tenant = Counter(record.tenant for record in assessment.kept)
    assert max(by_user.values(), default=0) <= max(policy.min_records_a_user, policy.max_user_share * kept)
    if len({record.tenant for record in records}) > 1:
        assert max(by_tenant.values()) <= max(policy.min_records_a_tenant, policy.max_tenant_share * kept)
    assert kept + len(assessment.capped) + len(assessment.quarantined) == len(records)
    assert assess(shuffled, policy) == assessment


def crowd(count=400):
    """Users who come back, with prompts and votes that differ."""
    subjects = ["parcel", "invoice", "password", "refund", "garden chair", "gift card", "warranty", "tent"]
    wishes = [
        "where is my",
        "how do I change the",
        "why was the",
        "who can tell me about a",
        "is there a new",
    ]
    return [
        rated(
            number,
            f"user-{number % 60}",
            type="thumbs_down" if number % 3 == 0 else "thumbs_up",
            prompt=f"{wishes[number % 5]} {subjects[number % 8]} of order {number}",
        )
        for number in range(count)
    ]


def burst(number, **changes):
    subject = ["lamp", "stove", "boots", "jacket", "map", "rope", "bottle"][number % 7]
    prompt = f"{subject} question {number} moonbeam clause applies"
    at = NOW - timedelta(hours=number * 30)
    return rated(900 + number, f"new-{number}", prompt=prompt, **({"timestamp": at} | changes))


def test_new_accounts_that_share_a_phrase_and_push_one_way_are_quarantined_with_the_place_of_the_phrase():
    attack = [burst(number) for number in range(12)]

    assessment = assess([*crowd(), *attack], TrustPolicy())

    assert {refusal.record.id for refusal in assessment.quarantined} == {record.id for record in attack}
    reason = assessment.quarantined[0].reason
    assert reason.startswith(
        "burst: words 4 to 6 of its prompt stand in feedback of 12 accounts, 100% of it one way"
    )
    assert "new accounts" in reason
    assert "moonbeam" not in reason


def test_the_same_phrase_by_users_with_a_history_over_weeks_is_kept():
    regulars = [burst(number, user_id=f"user-{number}") for number in range(12)]

    assert assess([*crowd(), *regulars], TrustPolicy()).quarantined == ()


def test_a_phrase_whose_users_disagree_is_kept():
    divided = [burst(number, type="thumbs_down" if number % 2 else "thumbs_up") for number in range(12)]

    assert assess([*crowd(), *divided], TrustPolicy()).quarantined == ()


def test_exact_copies_of_one_liked_answer_are_one_text_and_no_burst():
    same = [
        rated(900 + number, f"new-{number}", prompt="Hi there", response="Welcome!") for number in range(30)
    ]

    assert assess([*crowd(), *same], TrustPolicy()).quarantined == ()


def test_withholding_the_name_where_others_give_theirs_is_as_good_as_a_new_name():
    nameless = [burst(number, user_id=None) for number in range(12)]

    assert len(assess([*crowd(), *nameless], TrustPolicy()).quarantined) == 12


def test_where_nobody_gives_a_name_none_is_held_against_them():
    nameless = [burst(number, user_id=None) for number in range(12)]
    others = [record.model_copy(update={"user_id": None}) for record in crowd()]

    assert assess([*others, *nameless], TrustPolicy()).quarantined == ()


@pytest.mark.parametrize("texts", [("", ""), ("!?", "..."), ("one", "one")])
def test_texts_without_words_or_with_one_are_no_trouble(texts):
    records = [rated(number, f"u{number}", prompt=texts[0], response=texts[1]) for number in range(20)]

    assert len(assess(records, TrustPolicy()).kept) == 20
