"""Evaluation texts in training data are found by the same words, by n-grams and by resemblance; sets hold no text."""

import io
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.quality.contamination import hits, report
from gateway_tuning.datasets.quality.evaluation_sets import decode, encode, evaluation_set
from gateway_tuning.datasets.quality.policy import QualityPolicy
from gateway_tuning.errors import ConfigurationError, IntegrityError

POLICY = QualityPolicy()
QUESTION = "Which documents do I need in order to apply for a parking permit in the inner city?"
ANSWER = (
    "You need your registration certificate, a proof of residence that is not older than three months and the "
    "completed form; bring all of them to any citizens' office during its opening hours."
)
SHORT = "How long is the warranty on used cars?"  # 8 words
EXAM = evaluation_set("support-exam", "3", [QUESTION, SHORT, "Reset password"], [ANSWER, "Yes, of course."])


def found(samples, sets=(EXAM,), policy=POLICY):
    return [(hit.part, hit.item, hit.how) for hit in hits(samples, sets, policy)]


def test_the_same_words_are_found_in_every_text_of_an_example(make_sample):
    shouted = QUESTION.upper().replace(" ", "  ")

    assert found([make_sample(prompt=shouted)]) == [("prompt", 0, "exact")]
    assert found([make_sample(answer=ANSWER)]) == [("answer", 3, "exact")]
    assert found([make_sample(rejected=ANSWER)]) == [("rejected", 3, "exact")]
    assert found([make_sample(turns=("Hello", QUESTION))]) == [("turn 1", 0, "exact")]
    assert found([make_sample(prompt="reset password!")]) == [("prompt", 2, "exact")]


def test_a_question_quoted_in_a_long_conversation_is_found_by_its_n_grams(make_sample):
    around = " ".join(f"unrelated{n}" for n in range(200))

    (hit,) = hits([make_sample(prompt=f"{around} {QUESTION} {around}")], [EXAM], POLICY)

    assert (hit.how, hit.share, hit.item) == ("ngram", 1.0, 0)
    assert hit.reason.code == "contaminates"
    assert hit.reason.text.startswith("contaminates support-exam@3: its prompt has 100% of text 0")


def test_a_short_question_is_found_by_eight_words_in_a_row(make_sample):
    assert found([make_sample(prompt=f"Tell me now: {SHORT.lower()} I want to buy one")]) == [
        ("prompt", 1, "ngram")
    ]


def test_an_edited_copy_whose_n_grams_are_all_broken_is_found_by_resemblance(make_sample):
    words = [f"word{n}" for n in range(60)]
    exam = evaluation_set("words", "1", [" ".join(words)])
    # Every 12th word is another: no 13 words in a row are left, but most 3-grams are
    edited = [f"other{n}" if n % 12 == 6 else word for n, word in enumerate(words)]
    policy = QualityPolicy(contamination_similarity=0.5)

    (hit,) = hits([make_sample(prompt=" ".join(edited))], [exam], policy)

    assert hit.how == "minhash"
    assert abs(hit.share - 43 / 73) < 0.2  # 15 of 58 3-grams differ on each side


def test_a_shared_phrase_below_the_limit_is_no_contamination(make_sample):
    first_words = " ".join(ANSWER.split()[:14])

    assert found([make_sample(answer=f"{first_words} and then you pay at the counter.")]) == []
    assert found(
        [make_sample(answer=f"{first_words} and then you pay at the counter.")],
        policy=QualityPolicy(contamination_overlap=0.05),
    ) == [("answer", 3, "ngram")]


def test_a_short_reference_answer_is_nobodys(make_sample):
    assert found([make_sample(answer="Yes, of course.")]) == []


def test_each_set_is_named_and_reported_also_where_nothing_was_hit(make_sample):
    other = evaluation_set("other", "1", ["What is the capital of the smallest country in the world?"])
    samples = [make_sample(id="a", prompt=QUESTION), make_sample(id="b", prompt=f"Hi! {QUESTION} Thanks!")]

    every = hits(samples, [EXAM, other], POLICY)
    exam, untouched = report(every, [EXAM, other])

    assert [(hit.example_id, hit.evaluation_set) for hit in every] == [
        ("a", "support-exam@3"),
        ("b", "support-exam@3"),
    ]
    assert (exam.examples, exam.texts, exam.texts_hit, exam.largest_share) == (
        {"exact": 1, "ngram": 1},
        4,
        1,
        1.0,
    )
    assert (untouched.examples, untouched.texts_hit, untouched.largest_share) == ({}, 0, None)


def test_partitions_and_order_change_nothing(make_sample):
    chance = random.Random(1)
    samples = [
        make_sample(
            id=f"e{n}", prompt=chance.choice([QUESTION, SHORT, f"{SHORT} {n}", f"other question {n}"])
        )
        for n in range(40)
    ]

    whole = hits(samples, [EXAM], POLICY)

    parts = [hit for at in range(0, 40, 7) for hit in hits(samples[at : at + 7], [EXAM], POLICY)]
    assert sorted(parts, key=lambda hit: hit.example_id) == list(whole)
    assert hits(samples[::-1], [EXAM], POLICY) == whole


def test_planted_copies_of_feedbackqa_are_found_and_nothing_else(make_sample, feedbackqa):
    chance = random.Random(9)
    questions = sorted({question for question, _ in feedbackqa})
    chance.shuffle(questions)
    held_out, rest = questions[:150], questions[150:]
    exam = evaluation_set("held-out", "1", held_out)
    planted = {f"planted {n}": text for n, text in enumerate(held_out[:60])}
    # What opens or closes a question leaves its words in a row.
    wrapped = {f"wrapped {n}": f"Hi there, {text} Thank you!" for n, text in enumerate(held_out[60:120])}
    samples = [
        *(make_sample(id=id_, prompt=text) for id_, text in {**planted, **wrapped}.items()),
        *(make_sample(id=f"clean {n}", prompt=text) for n, text in enumerate(rest)),
    ]

    hit = {one.example_id for one in hits(samples, [exam], POLICY)}

    long_enough = {id_ for id_, text in wrapped.items() if len(text.split()) >= 8 + 4 + 1}
    assert planted.keys() <= hit
    assert long_enough <= hit
    assert sum(id_.startswith("clean") for id_ in hit) <= 0.01 * len(rest)


sets = st.builds(
    evaluation_set,
    st.text(max_size=10),
    st.text(max_size=5),
    st.lists(st.lists(st.sampled_from("abc"), max_size=20).map(" ".join), min_size=1, max_size=5),
    permutations=st.sampled_from([16, 128]),
)


@given(sets)
def test_a_set_comes_back_from_its_bytes(one):
    again = decode(encode(one))

    assert (again.name, again.version) == (one.name, one.version)
    assert np.array_equal(again.signatures.minima, one.signatures.minima)
    assert np.array_equal(again.signatures.exact, one.signatures.exact)
    assert np.array_equal(again.ngrams, one.ngrams)
    assert np.array_equal(again.owners, one.owners)
    assert encode(again) == encode(one)


def test_a_decoded_set_finds_what_the_first_did(make_sample):
    assert found([make_sample(prompt=QUESTION)], [decode(encode(EXAM))]) == [("prompt", 0, "exact")]


def test_the_bytes_hold_no_word_of_the_texts():
    data = b"".join(array.tobytes() for array in np.load(io.BytesIO(encode(EXAM))).values())

    assert not [word for word in f"{QUESTION} {ANSWER}".split() if len(word) > 3 and word.encode() in data]


def test_damaged_bytes_are_refused_with_the_remedy():
    whole = encode(EXAM)
    pickled = io.BytesIO()
    np.savez(pickled, header=np.array([{"format": 1}], dtype=object))
    cut = dict(np.load(io.BytesIO(whole)).items())
    cut["owners"] = cut["owners"][:-1]
    uneven = io.BytesIO()
    np.savez(uneven, **cut)

    for data in (b"", b"no zip", whole[: len(whole) // 2], pickled.getvalue(), uneven.getvalue()):
        with pytest.raises(IntegrityError, match="register it again"):
            decode(data)


def test_a_set_without_texts_is_refused():
    with pytest.raises(ConfigurationError, match="register it with its prompts"):
        evaluation_set("empty", "1", [], ["Yes."])
