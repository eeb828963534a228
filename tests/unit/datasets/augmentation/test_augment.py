import asyncio
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.datasets.augmentation.augment import augment
from gateway_tuning.datasets.augmentation.held_out import HeldOut
from gateway_tuning.datasets.augmentation.noise import NoiseAugmenter
from gateway_tuning.datasets.augmentation.policy import AugmentationPolicy
from gateway_tuning.datasets.augmentation.protocol import Lost, Variant
from gateway_tuning.datasets.example import ExampleKind, ToolCall, Turn
from gateway_tuning.datasets.quality.shingles import jaccard, shingle_sets
from gateway_tuning.datasets.quality.signatures import sign
from gateway_tuning.errors import ConfigurationError
from tests.unit.datasets.augmentation.conftest import make_example

NOISE = ({"name": "noise"},)
QUESTIONS = [
    "Where is the parcel that you promised me for yesterday evening",
    "How can somebody return a broken chair without the receipt",
    "When will the invoice of my last order arrive by mail",
    "Why does the application close whenever the camera is opened",
    "Which documents are needed before the account can be renamed",
    "What happens when nobody is home during the delivery",
]


class Scripted:
    """An outsider's augmenter that says what it is told to."""

    def __init__(self, texts, name="scripted", *, invents=False):
        self.name, self.invents, self.texts, self.closed = name, invents, texts, False

    async def variants(self, example, count, seed):
        await asyncio.sleep(0)
        return [
            one if isinstance(one, Lost) else Variant(one.format(prompt=example.prompt), "told")
            for one in self.texts
        ]

    async def close(self):
        self.closed = True


def noise():
    return NoiseAugmenter(0.2, lambda _text: None)


def run(examples, *augmenters, held_out=(), known=None, is_clean=None, **fields):
    augmenters = augmenters or (noise(),)
    share = 1 / len(augmenters)
    policy = AugmentationPolicy(
        **{"augmenters": [{"name": one.name, "share": share} for one in augmenters]} | fields
    )
    prompts = [one.prompt for one in examples] if known is None else known
    return augment(
        examples,
        policy,
        augmenters,
        held_out=HeldOut.of(held_out),
        known=np.unique(sign(prompts).exact),
        is_clean=is_clean or (lambda texts: [True] * len(texts)),
    )


def examples_of(prompts=QUESTIONS, **fields):
    return [make_example(f"e{number}", prompt, **fields) for number, prompt in enumerate(prompts)]


def test_an_augmented_example_differs_from_its_original_in_the_last_question_alone():
    turns = (
        Turn("system", "Be kind"),
        Turn("user", "Hello there"),
        Turn("assistant", "Good morning"),
        Turn("user", QUESTIONS[0]),
        Turn("assistant", "", (ToolCall("c1", "track", "{}"),)),
        Turn("tool", "on its way", tool_call_id="c1"),
    )
    original = make_example(messages=turns, tools=('{"type": "function"}',), subject_ids=("s1", "s2"))
    (made,) = run([original]).examples

    assert made.prompt != original.prompt
    assert made.augmented_from == original.id
    assert made.augmented_by.startswith("noise: ")
    asked = replace(made.messages[3], content=QUESTIONS[0])
    assert original == replace(
        made,
        id=original.id,
        messages=(*made.messages[:3], asked, *made.messages[4:]),
        augmented_from=None,
        augmented_by=None,
    )


def test_ids_are_new_and_hang_on_the_content():
    first, again = run(examples_of()), run(examples_of())
    other = run(examples_of(), seed=9)

    ids = {one.id for one in first.examples}
    assert len(ids) == len(QUESTIONS)
    assert first == again
    assert all(len(one) == 24 and int(one, 16) >= 0 for one in ids)
    assert not ids & {one.id for one in other.examples}


def test_nothing_is_made_of_what_is_held_out_of_another_kind_or_augmented_before():
    given_examples = [
        make_example("test", QUESTIONS[0], split="test"),
        make_example("validation", QUESTIONS[1], split="validation"),
        make_example("pair", QUESTIONS[2], kind=ExampleKind.PREFERENCE, rejected="no"),
        make_example("again", QUESTIONS[3], augmented_from="x", augmented_by="noise: y"),
    ]

    assert run(given_examples).examples == ()
    pairs = run(given_examples, kinds=[ExampleKind.PREFERENCE]).examples
    assert [(one.augmented_from, one.rejected) for one in pairs] == [("pair", "no")]


@pytest.mark.parametrize(("factor", "count"), [(0, 0), (0.1, 0), (0.5, 3), (1, 6), (2.5, 15)])
def test_the_factor_caps_what_is_made_and_spreads_it_evenly(factor, count):
    found = run(examples_of(), factor=factor)
    by_original = Counter(one.augmented_from for one in found.examples)

    assert len(found.examples) == found.wanted == count
    if count:
        counts = [by_original[f"e{number}"] for number in range(len(QUESTIONS))]
        assert max(counts) - min(counts) <= 1


def test_each_augmenter_has_its_share():
    shares = [{"name": "noise", "share": 0.75}, {"name": "scripted", "share": 0.25}]
    examples = examples_of([f"{question} {n}" for n in range(4) for question in QUESTIONS])
    found = run(examples, noise(), Scripted(["Well, {prompt}"]), augmenters=shares)

    assert Counter(one.augmented_by.partition(":")[0] for one in found.examples) == {
        "noise": 18,
        "scripted": 6,
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" ", "unfit"),
        ("{prompt}", "unfit"),
        ("Is <PERSON_1> there", "unfit"),
        ("HOW CAN somebody return a broken chair without the receipt?", "duplicate_prompt"),
        ("when is the held out question asked by whom", "near_held_out"),
    ],
)
def test_what_may_not_be_taken_is_dropped_and_counted(text, reason):
    found = run(
        examples_of(QUESTIONS[:1]),
        Scripted([text]),
        known=QUESTIONS,
        held_out=["When is the held-out question asked, by whom?"],
    )

    assert (found.examples, found.dropped, found.wanted) == ((), {reason: 1}, 1)


def test_more_than_was_asked_for_is_over_the_cap():
    found = run(examples_of(QUESTIONS[:1]), Scripted(["So {prompt}", "And {prompt}", "But {prompt}"]))

    assert [one.prompt for one in found.examples] == [f"So {QUESTIONS[0]}"]
    assert found.dropped == {"over_cap": 2}


def test_two_examples_do_not_get_the_same_new_prompt():
    found = run(examples_of(QUESTIONS[:3]), Scripted(["May I ask something"]))

    assert [one.augmented_from for one in found.examples] == ["e0"]
    assert found.dropped == {"duplicate_prompt": 2}


def test_a_new_prompt_that_another_example_has_to_the_letter_is_a_duplicate():
    examples = examples_of(["Reset it", "reset it"])

    assert run(examples, Scripted(["reset it"]), kinds=["demonstration"]).dropped == {
        "duplicate_prompt": 1,
        "unfit": 1,
    }


def test_failures_are_counted_with_their_reasons_and_connections_are_closed():
    augmenter = Scripted([Lost("scripted_timeout")])
    found = run(examples_of(), augmenter)

    assert (found.examples, found.dropped) == ((), {"scripted_timeout": 6})
    assert augmenter.closed


def test_what_an_augmenter_invents_is_left_out_where_it_holds_personal_data():
    def is_clean(texts):
        return ["Smith" not in text for text in texts]

    texts = ["Ask Smith: {prompt}", "Well, {prompt}"]
    found = run(examples_of(QUESTIONS[:1]), Scripted(texts, invents=True), is_clean=is_clean, factor=2)

    assert [one.prompt for one in found.examples] == [f"Well, {QUESTIONS[0]}"]
    assert found.dropped == {"personal_data": 1}


def test_an_augmenter_that_was_not_opened_is_told():
    policy = AugmentationPolicy(augmenters=NOISE)

    with pytest.raises(ConfigurationError, match="Augmenter noise is in the policy"):
        augment(
            examples_of(), policy, [], held_out=HeldOut.of([]), known=sign([]).exact, is_clean=lambda _: []
        )


WORD = st.sampled_from(
    [
        "where",
        "is",
        "the",
        "parcel",
        "my",
        "order",
        "chair",
        "broken",
        "again",
        "please",
        "<PERSON_1>",
        "4711",
    ]
)
PROMPTS = st.lists(st.lists(WORD, min_size=1, max_size=8).map(" ".join), min_size=1, max_size=8)
SPLIT = st.sampled_from(["train", "train", "validation", "test"])


@given(st.data(), PROMPTS, st.floats(0, 3), st.sampled_from([0.2, 0.5, 0.8, 1.0]))
@settings(max_examples=60)
def test_whatever_is_given_only_train_grows_within_the_cap_and_away_from_what_is_held_out(
    data, prompts, factor, limit
):
    examples = [
        make_example(f"e{number}", prompt, split=data.draw(SPLIT)) for number, prompt in enumerate(prompts)
    ]
    train = {one.id: one for one in examples if one.split == "train"}
    held_out = [one.prompt for one in examples if one.split != "train"]
    found = run(examples, held_out=held_out, factor=factor, max_similarity_to_test=limit)

    assert len(found.examples) <= factor * len(train)
    for one in found.examples:
        original = train[one.augmented_from]
        assert (one.split, one.group_id, one.subject_ids, one.feedback_ids) == (
            "train",
            original.group_id,
            original.subject_ids,
            original.feedback_ids,
        )
    theirs = shingle_sets(held_out)
    for own in shingle_sets([one.prompt for one in found.examples]):
        assert all(jaccard(own, other) < limit for other in theirs)
    assert len({one.id for one in (*examples, *found.examples)}) == len(examples) + len(found.examples)
    assert found.wanted >= len(found.examples) + sum(found.dropped.values())

    shuffled = data.draw(st.permutations(examples))
    assert found == run(shuffled, held_out=held_out, factor=factor, max_similarity_to_test=limit)
