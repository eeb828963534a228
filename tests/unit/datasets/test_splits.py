from dataclasses import replace
from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.datasets.draft import Context, Draft, Source
from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.splits import SPLITS, GroupKeys, assign, example, shared_groups
from gateway_tuning.feedback.record import FeedbackType
from tests.conftest import NOW


def draft(prompt, *, user=None, conversation=None, id_="r", at=NOW):
    subject = user and f"subject of {user}"
    key = f"{id_}-{prompt}-{user}-{conversation}"
    source = Source("default", key, FeedbackType.THUMBS_UP, at, subject, conversation)
    return Draft(ExampleKind.DEMONSTRATION, Context((Turn("user", prompt),)), "a", sources=[source])


def split(drafts, near_prompts=None):
    near = None if near_prompts is None else np.array(near_prompts)
    given = assign(GroupKeys.of(drafts), near, validation_share=0.2, test_share=0.2)
    return [
        example(draft, int(group), SPLITS[place])
        for draft, group, place in zip(drafts, given.group, given.split, strict=True)
    ]


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
    for key in ("subject", "conversation"):
        seen = {}
        for one, source in zip(examples, drafts, strict=True):
            value = getattr(source.sources[0], key)
            assert value is None or seen.setdefault(value, one.split) == one.split
    prompts = {}
    assert all(prompts.setdefault(one.prompt, one.split) == one.split for one in examples)


@settings(max_examples=100, deadline=None)
@given(links, links)
def test_membership_is_stable_when_data_grows_without_joining_groups(drafts, more):
    before = split(drafts)
    strangers = [
        draft(f"new {i} {d.context.prompt}", user=f"new {d.sources[0].subject}") for i, d in enumerate(more)
    ]

    after = split([*drafts, *strangers])

    assert [one.split for one in after[: len(before)]] == [one.split for one in before]


@settings(max_examples=100, deadline=None)
@given(links, st.lists(st.sampled_from("abcdefgh"), max_size=20))
def test_who_comes_later_to_a_group_moves_nobody(drafts, users):
    before = split(drafts)
    later = [
        draft("p", user=f"later {user}", id_=f"l{i}", at=NOW + timedelta(days=1))
        for i, user in enumerate(users)
    ]

    after = split([*drafts, *later])

    assert [one.split for one in after[: len(before)]] == [one.split for one in before]


def test_near_duplicate_prompts_join_their_users_and_whom_those_know():
    drafts = [draft(f"question {i}", user=f"user {i}") for i in range(100)]

    apart = split(drafts)
    together = split(drafts, [7] * 50 + list(range(100, 150)))

    assert len({one.group_id for one in apart}) == 100
    assert len({one.group_id for one in together[:50]}) == 1
    assert len({one.group_id for one in together}) == 51


def test_splits_of_parts_are_those_of_the_whole():
    drafts = [draft(f"question {i % 40}", user=f"user {i % 60}") for i in range(90)]
    parts = [GroupKeys.of(drafts[:20]), GroupKeys.of(drafts[20:21]), GroupKeys.of(drafts[21:])]

    whole = assign(GroupKeys.of(drafts), validation_share=0.2, test_share=0.2)
    joined = assign(GroupKeys.joined(parts), validation_share=0.2, test_share=0.2)

    assert (joined.group == whole.group).all()
    assert (joined.split == whole.split).all()
