from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.selection import decide, select
from gateway_tuning.datasets.statements import read
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType, Message, ToolCall
from gateway_tuning.feedback.votes import agreement
from tests.conftest import NOW


@dataclass(frozen=True)
class Chosen:
    drafts: tuple
    choices: dict
    agreement: object

    @property
    def used(self):
        return sum(choice.is_used for choice in self.choices.values())

    @property
    def left_out(self):
        return dict(Counter(choice.code for choice in self.choices.values() if not choice.is_used))


def chosen(*records, max_pairs_per_prompt=10, min_rating_gap=0.5):
    said = [read(record, lambda user: user and f"subject of {user}") for record in records]
    selection = select(
        [draft for one in said for draft in one.drafts],
        [one.ballot for one in said if one.ballot],
        max_pairs_per_prompt=max_pairs_per_prompt,
        min_rating_gap=min_rating_gap,
    )
    used = {source.key for draft in selection.drafts for source in draft.sources}
    choices = {
        one.source.feedback_id: decide(
            one.code,
            is_used=one.source.key in used,
            lost_vote=selection.lost.get(one.source.key),
            rejection=None,
        )
        for one in said
    }
    return Chosen(selection.drafts, choices, agreement(selection.verdicts))


def kinds(selection) -> Counter:
    return Counter(draft.kind for draft in selection.drafts)


def test_a_correction_becomes_a_demonstration_and_a_preference_over_the_given_answer(make_record):
    selection = chosen(make_record(type_="correction", corrected_response="It arrives on Friday."))

    demonstration, preference = sorted(selection.drafts, key=lambda draft: draft.kind)
    assert (demonstration.answer, demonstration.rejected) == ("It arrives on Friday.", None)
    assert (preference.answer, preference.rejected) == ("It arrives on Friday.", "It is on its way.")
    assert (selection.used, selection.left_out) == (1, {})


def test_a_thumbs_up_becomes_a_demonstration_and_a_desirable_answer(make_record):
    assert kinds(chosen(make_record())) == {ExampleKind.DEMONSTRATION: 1, ExampleKind.LABELLED: 1}


def test_a_thumbs_down_is_never_a_demonstration(make_record):
    (draft,) = chosen(make_record(type_="thumbs_down")).drafts

    assert (draft.kind, draft.desirable) == (ExampleKind.LABELLED, False)


def test_opposite_votes_on_one_answer_cancel_out_and_say_so(make_record):
    selection = chosen(make_record("up"), make_record("down", "thumbs_down"))

    assert selection.drafts == ()
    assert selection.left_out == {"conflicting_ratings": 2}
    assert {choice.reason for choice in selection.choices.values()} == {"tied: 1 of 2 raters each way"}


def test_an_outvoted_thumbs_up_makes_no_demonstration_and_says_by_whom_it_was_outvoted(make_record):
    votes = [make_record("up"), make_record("down1", "thumbs_down"), make_record("down2", "thumbs_down")]

    selection = chosen(*votes)

    (draft,) = selection.drafts
    assert (draft.kind, draft.desirable) == (ExampleKind.LABELLED, False)
    assert {source.feedback_id for source in draft.sources} == {"down1", "down2"}
    assert selection.left_out == {"outvoted": 1}
    assert selection.choices["up"].reason == "outvoted: 1 of 3 raters"
    assert selection.choices["down1"].reason is None


def test_a_rater_who_votes_again_and_again_outvotes_nobody(make_record):
    again = [
        make_record(f"again{i}", "thumbs_down", user_id="ann", timestamp=NOW + timedelta(hours=i))
        for i in range(5)
    ]
    others = [make_record("up1", user_id="bob"), make_record("up2", user_id="eve")]

    selection = chosen(*again, *others)

    assert {draft.desirable for draft in selection.drafts if draft.kind is ExampleKind.LABELLED} == {True}
    assert selection.left_out == {"outvoted": 1, "superseded_vote": 4}


def test_the_correction_of_an_outvoted_rater_is_used_and_says_so(make_record):
    fix = make_record("fix", "thumbs_down", corrected_response="It arrives on Friday.")

    selection = chosen(fix, make_record("up1"), make_record("up2"))

    assert selection.left_out == {}
    assert selection.choices["fix"].is_used
    assert selection.choices["fix"].reason == "outvoted: 1 of 3 raters; its correction is used"


def test_how_far_raters_agree_is_kept(make_record):
    selection = chosen(make_record("a"), make_record("b"), make_record("c", response="Other"))

    assert selection.agreement.share == 1.0
    assert selection.agreement.alpha is None


def test_rival_answers_to_one_prompt_become_preference_pairs(make_record):
    selection = chosen(make_record("good", response="A"), make_record("bad", "thumbs_down", response="B"))

    (pair,) = [draft for draft in selection.drafts if draft.kind is ExampleKind.PREFERENCE]
    assert (pair.answer, pair.rejected) == ("A", "B")
    assert {source.feedback_id for source in pair.sources} == {"good", "bad"}


def test_the_lesser_of_two_disliked_answers_is_no_model(make_record):
    selection = chosen(
        make_record("poor", "thumbs_down", response="A", satisfaction_score=-0.3),
        make_record("bad", "thumbs_down", response="B", satisfaction_score=-1.0),
    )

    assert ExampleKind.PREFERENCE not in kinds(selection)


def test_the_number_of_pairs_a_prompt_is_bounded_and_the_widest_gaps_stay(make_record):
    rated = [make_record(f"r{i}", response=f"A{i}", satisfaction_score=0.1 * i) for i in range(1, 10)]
    worst = make_record("bad", "thumbs_down", response="B")

    selection = chosen(*rated, worst, max_pairs_per_prompt=1)

    (pair,) = [draft for draft in selection.drafts if draft.kind is ExampleKind.PREFERENCE]
    assert (pair.answer, pair.rejected) == ("A9", "B")


def test_an_answered_reformulation_is_a_pair_of_turns(make_record):
    selection = chosen(
        make_record(
            type_="reformulation",
            reformulated_prompt="When will order 7 arrive?",
            reformulated_response="Friday.",
        )
    )

    demonstration, preference = sorted(selection.drafts, key=lambda draft: draft.kind)
    assert (demonstration.context.messages[-1].content, demonstration.answer) == (
        "When will order 7 arrive?",
        "Friday.",
    )
    assert (preference.context.messages[-1].content, preference.rejected) == (
        "Where is my order?",
        "It is on its way.",
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type_": "reformulation", "reformulated_prompt": "And now?"}, "reformulation_without_answer"),
        (
            {"type_": "reformulation", "reformulated_response": "No.", "satisfaction_score": -1},
            "reformulation_not_satisfied",
        ),
        ({"type_": "text", "comment": "hm"}, "text_without_rating"),
        ({"type_": "automatic_evaluation"}, "no_signal"),
    ],
)
def test_feedback_without_a_usable_signal_is_left_out_with_its_reason(make_record, fields, reason):
    assert chosen(make_record(**fields)).left_out == {reason: 1}


def test_the_system_prompt_and_earlier_turns_stand_before_the_prompt(make_record):
    record = make_record(system_prompt="Be brief.", history=(Message(role="assistant", content="Hello!"),))

    draft = chosen(record).drafts[0]

    assert [turn.role for turn in draft.context.messages] == ["system", "assistant", "user"]


def test_tools_and_the_turns_after_the_prompt_belong_to_what_the_answer_replies_to(make_record):
    call = ToolCall(id="c1", name="track", arguments="{}")
    turns = (
        Message(role="assistant", content="", tool_calls=(call,)),
        Message(role="tool", content="late", tool_call_id="c1"),
    )
    plain, tooled = make_record("a"), make_record("b", "thumbs_down", turns=turns, tools=({"name": "track"},))

    selection = chosen(plain, tooled)

    assert selection.left_out == {}  # two contexts: the votes do not meet
    (draft,) = [draft for draft in selection.drafts if draft.desirable is False]
    assert [turn.role for turn in draft.context.messages] == ["user", "assistant", "tool"]
    assert draft.context.prompt == "Where is my order?"
    assert draft.context.tools == ('{"name": "track"}',)


def test_why_a_record_is_left_out_is_told_by_what_decided_first():
    vote, rejection = ("outvoted", "outvoted: 1 of 3 raters"), ("refusal", "declines to answer")

    def told(**given):
        found = decide("no_signal", **({"is_used": False, "lost_vote": None, "rejection": None} | given))
        return found.code, found.reason

    assert told() == ("no_signal", "neither rates nor corrects the answer")
    assert told(rejection=rejection) == rejection
    assert told(rejection=rejection, lost_vote=vote) == vote


def test_a_used_record_says_nothing_of_an_example_that_was_kept_out():
    rejection = ("refusal", "declines to answer")

    assert decide("no_signal", is_used=True, lost_vote=None, rejection=rejection).reason is None


words = st.sampled_from(["a", "b", "c"])
feedback = st.builds(
    FeedbackRecord,
    id=st.uuids().map(str),
    user_id=st.none() | words,
    type=st.sampled_from(list(FeedbackType)),
    prompt=words,
    response=words,
    corrected_response=st.none() | words,
    reformulated_prompt=st.none() | words,
    reformulated_response=st.none() | words,
    satisfaction_score=st.none() | st.floats(-1, 1),
    timestamp=st.just(NOW),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(feedback, max_size=12, unique_by=lambda record: record.id), st.randoms())
def test_every_record_is_used_or_left_out_once_and_order_does_not_matter(records, random):
    selection = chosen(*records)
    shuffled = list(records)
    random.shuffle(shuffled)

    assert selection.used + sum(selection.left_out.values()) == len(records)
    again = chosen(*shuffled)
    assert [draft.id for draft in again.drafts] == [draft.id for draft in selection.drafts]
    assert again.choices == selection.choices
    assert {record.id for record in records} == set(selection.choices)
    for draft in selection.drafts:
        assert all(selection.choices[source.feedback_id].is_used for source in draft.sources)
