from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.selection import Draft
from gateway_tuning.datasets.splits import SPLITS, assign, shared_groups
from gateway_tuning.feedback.record import FeedbackRecord
from tests.conftest import NOW


def draft(prompt, *, user=None, conversation=None, id_="r"):
    record = FeedbackRecord(
        id=f"{id_}-{prompt}-{user}-{conversation}",
        type="thumbs_up",
        prompt=prompt,
        response="a",
        user_id=user,
        conversation_id=conversation,
        timestamp=NOW,
    )
    return Draft(ExampleKind.DEMONSTRATION, (Turn("user", prompt),), "a", sources=[record])


def split(drafts):
    return assign(
        drafts, validation_share=0.2, test_share=0.2, subject_of=lambda user: user and f"subject of {user}"
    )


def test_one_user_stays_in_one_split():
    examples = split([draft(f"question {i}", user="ann") for i in range(50)])

    assert len({example.split for example in examples}) == 1
    assert len({example.group_id for example in examples}) == 1


def test_an_example_names_the_subjects_of_its_sources_and_no_user():
    (example,) = split(
        [
            replace(
                draft("q", user="ann"),
                sources=[
                    *draft("q", user="bob").sources,
                    *draft("q", user="ann").sources,
                    *draft("q").sources,
                ],
            )
        ]
    )

    assert example.subject_ids == ("subject of ann", "subject of bob")


def test_a_shared_prompt_joins_two_users_whatever_its_case_and_spacing():
    examples = split([draft("Where is  it?", user="ann"), draft("where is it?", user="bob")])

    assert len({example.group_id for example in examples}) == 1


def test_a_conversation_joins_its_turns():
    examples = split([draft("first", conversation="c"), draft("second", conversation="c")])

    assert len({example.group_id for example in examples}) == 1


def test_shares_are_met_over_many_groups():
    examples = split([draft(f"question {i}", user=str(i)) for i in range(5000)])

    shares = [sum(example.split == name for example in examples) / 5000 for name in SPLITS]
    assert [round(share, 1) for share in shares] == [0.6, 0.2, 0.2]


def test_the_group_id_tells_nothing_of_the_user():
    (ann,) = split([draft("same question", user="ann")])
    (bob,) = split([draft("same question", user="bob")])

    assert ann.group_id == bob.group_id


links = st.lists(
    st.builds(
        draft,
        st.sampled_from("pqrstuvw"),
        user=st.none() | st.sampled_from("abcd"),
        conversation=st.none() | st.sampled_from("xyz"),
    ),
    max_size=20,
)


@settings(max_examples=200, deadline=None)
@given(links)
def test_nothing_that_shares_a_user_conversation_or_prompt_straddles_a_split(drafts):
    examples = split(drafts)

    assert shared_groups(examples) == set()
    for key in ("prompt", "user_id", "conversation_id"):
        seen = {}
        for example, source in zip(examples, drafts, strict=True):
            value = getattr(source.sources[0], key)
            assert value is None or seen.setdefault(value, example.split) == example.split


@settings(max_examples=100, deadline=None)
@given(links, links)
def test_membership_is_stable_when_data_grows_without_joining_groups(drafts, more):
    before = split(drafts)
    strangers = [
        draft(f"new {i} {d.messages[0].content}", user=f"new {d.sources[0].user_id}")
        for i, d in enumerate(more)
    ]

    after = split([*drafts, *strangers])

    assert [example.split for example in after[: len(before)]] == [example.split for example in before]
