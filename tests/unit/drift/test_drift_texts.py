import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer

from gateway_tuning.drift.statistics import units
from gateway_tuning.drift.texts.classifier import separate
from gateway_tuning.drift.texts.descriptors import describe, script_of
from gateway_tuning.drift.texts.language import languages
from gateway_tuning.drift.texts.ngrams import hashed_ngrams
from gateway_tuning.drift.texts.sample import drawn, halves
from gateway_tuning.drift.texts.telling import telling_words
from gateway_tuning.drift.texts.topics import TopicModel
from gateway_tuning.drift.texts.weights import of_topics
from gateway_tuning.drift.texts.words import count_words, frequent, tokenize
from gateway_tuning.errors import MissingExtraError

KITCHEN = ["oven", "flour", "recipe", "butter", "bake", "dough", "yeast", "bread", "cake", "salt"]
GARDEN = ["rose", "soil", "water", "prune", "seed", "plant", "weed", "lawn", "hedge", "compost"]
MONEY = ["invoice", "refund", "payment", "tax", "bank", "credit", "receipt", "balance", "loan", "budget"]


def asked(subject, texts, seed=0):
    rng = random.Random(f"{subject[0]} {seed}")
    return ["how do the " + " ".join(rng.sample(subject, 4)) for _ in range(texts)]


def test_words_are_letters_of_any_script_and_no_placeholders():
    assert tokenize(["Ask <PERSON_1> about Ünïcode, it's 42!"]) == [("ask", "about", "ünïcode", "it", "s")]
    assert tokenize(["退款政策"]) == [("退款", "款政", "政策")]
    assert tokenize(["हिन्दी में"]) == [("हिन्दी", "में")]
    assert tokenize(["x" * 31, ""]) == [(), ()]


def test_words_beyond_the_vocabulary_are_counted_together():
    counts = count_words([("a", "a", "b"), (), ("c", "d")], ["a"], others=True)

    assert counts.toarray().tolist() == [[2, 1], [0, 0], [0, 2]]


def test_a_word_of_one_user_is_not_counted_however_often_they_use_it():
    rows = [("common", "mine")] * 50 + [("common",)] * 3

    assert frequent(rows, ["u"] * 50 + ["v", "w", "x"], 10) == ("common",)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_hashed_ngrams_do_not_depend_on_the_texts_beside_them(texts):
    together = hashed_ngrams(texts)

    assert (together != hashed_ngrams(texts[::-1])[::-1]).nnz == 0
    assert together.shape[0] == len(texts)


def test_hashed_ngrams_are_those_of_scikit_learn():
    texts = ["Refund my order, please", "Wo ist meine Bestellung?", "zurück"]
    theirs = HashingVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), n_features=2**18, alternate_sign=False, norm=None
    ).transform([text.casefold() for text in texts])
    ours = hashed_ngrams(texts)

    def shared(features, left, right):
        return features[left].minimum(features[right]).sum()

    assert [shared(ours, 1, 2), shared(ours, 0, 1)] == [shared(theirs, 1, 2), shared(theirs, 0, 1)]
    # scikit-learn also gives words shorter than n whole: "my" twice more.
    assert ours.sum(axis=1).ravel().tolist()[0][1:] == theirs.sum(axis=1).ravel().tolist()[0][1:]


def test_texts_without_any_ngram_are_rows_of_nothing():
    assert hashed_ngrams([]).shape[0] == 0
    assert hashed_ngrams(["", "  "]).nnz == 0


def test_descriptors_are_finite_for_any_text():
    figures = describe(["", "\ud800", "SELECT x FROM y; https://a.b", "привет 你好", "\n" * 5])

    assert np.isfinite(figures).all()
    assert describe([]).shape[0] == 0


@pytest.mark.parametrize(
    ("text", "script"),
    [("hello", "Latin"), ("привет!", "Cyrillic"), ("你好", "Han"), ("123", None), ("aя", None)],
)
def test_the_script_is_that_of_most_letters(text, script):
    assert script_of(text) == script


def test_without_the_extra_scripts_are_told_and_named_so():
    def missing(_text):
        raise MissingExtraError("py3langid is not installed")

    assert languages(["hello", "привет"], missing) == ("script", ["Latin", "Cyrillic"])


@pytest.fixture(scope="module")
def model():
    return TopicModel.fit(asked(KITCHEN, 60) + asked(GARDEN, 60), topics=2, seed=1)


def test_topics_are_found_and_named_by_their_words(model):
    kitchen, garden = (
        set(model.assign(asked(subject, 40, seed=9)).tolist()) for subject in (KITCHEN, GARDEN)
    )

    assert kitchen & garden <= {model.topics}
    assert {word for topic in kitchen - {model.topics} for word in model.top_words(topic)} <= set(KITCHEN)
    assert {word for topic in garden - {model.topics} for word in model.top_words(topic)} <= set(GARDEN)


def test_prompts_far_from_all_topics_are_other(model):
    assert set(model.assign([*asked(MONEY, 5), "", "??"]).tolist()) == {model.topics}


def test_topics_are_kept_byte_for_byte(model):
    again = TopicModel.decode(model.encode())

    assert again.encode() == model.encode()
    assert again.assign(asked(GARDEN, 5)).tolist() == model.assign(asked(GARDEN, 5)).tolist()
    assert TopicModel.fit(asked(KITCHEN, 60) + asked(GARDEN, 60), topics=2, seed=1).encode() == model.encode()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
def test_what_is_no_topics_is_refused(content):
    with pytest.raises(ValueError, match="are no topics"):
        TopicModel.decode(content)


def test_topics_need_words_in_common():
    with pytest.raises(ValueError, match="share only 0 telling words"):
        TopicModel.fit([f"{letter * 5}" for letter in "abcdefgh"], topics=2, seed=0)


def test_telling_words_are_of_many_users_and_hold_no_identifier():
    before, after = tokenize(asked(KITCHEN, 60)), tokenize(asked(KITCHEN, 60, 1) + ["refund 4711 jane"] * 30)
    users = (
        [f"r{row}" for row in range(60)],
        [*(f"c{row}" for row in range(60)), *(f"n{row % 9}" for row in range(30))],
    )
    one = [("onlyhere",)] * 40

    gone, new = telling_words(before, after + one, (users[0], [*users[1], *["loud"] * 40]))

    assert {"refund"} <= set(new)
    assert not {"4711", "onlyhere"} & set(new)
    assert set(gone) <= set(KITCHEN) | {"how", "do", "the"}


def users_with_words_of_their_own(rows, seed, extra=()):
    rng = random.Random(seed)
    texts, groups = [], []
    while len(texts) < rows:
        own, user = rng.sample(KITCHEN + GARDEN + MONEY, 4), f"{seed} {len(texts)}"
        for _ in range(8):
            about = rng.choice(extra) if extra and rng.random() < 0.5 else ""
            texts.append(" ".join(rng.choices(own, k=5)) + f" {about}")
            groups.append(user)
    return texts, groups


def separated(extra):
    (before, first), (after, second) = (
        users_with_words_of_their_own(240, 1),
        users_with_words_of_their_own(240, 2, extra),
    )
    return separate([*before, *after], [*first, *second], units(first, second), seed=0)


def test_users_who_write_in_their_own_way_are_no_drift():
    found = separated(())

    assert found.auc < 0.65
    assert found.p_value > 0.01


def test_a_new_kind_of_prompt_is_told_apart_for_users_not_seen():
    found = separated(("password reset", "cannot log in"))

    assert found.auc > 0.6
    assert found.share > 0.3
    assert found.p_value < 0.001


def test_identical_prompts_cannot_be_told_apart():
    with pytest.raises(ValueError, match="the same text"):
        separate(["x"] * 40, range(40), units(20, 20), seed=0)


def test_rows_are_drawn_as_whole_users_whatever_their_order():
    groups = [f"user {row % 50}" for row in range(500)]
    order = np.random.default_rng(0).permutation(500)

    chosen = drawn(groups, most=100, seed=3)
    again = drawn([groups[row] for row in order], most=100, seed=3)

    assert len(chosen) == len(again) == 100
    assert {groups[row] for row in chosen} == {groups[order[row]] for row in again}
    assert drawn(groups, most=500, seed=3).tolist() == list(range(500))


def test_a_user_with_most_rows_is_not_most_of_what_is_read():
    groups = ["loud"] * 900 + [f"user {row}" for row in range(300)]

    chosen = drawn(groups, most=400, seed=0)

    assert sum(groups[row] == "loud" for row in chosen) <= 20


def test_halves_share_no_user():
    groups = [f"user {row % 31}" for row in range(200)]
    first, second = halves(groups, seed=0)

    assert {groups[row] for row in first} & {groups[row] for row in second} == set()
    assert sorted([*first, *second]) == list(range(200))


GREETINGS = (
    "good morning dear team",
    "hey there",
    "quick question please",
    "dear sir or madam",
    "hello folks",
)


def greeted(subjects, seed):
    """Five questions each of forty users who greet in their own way, and their names."""
    rng = random.Random(seed)
    texts, names = [], []
    for user in range(40):
        greeting = rng.choice(GREETINGS)
        for _ in range(5):
            texts.append(f"{greeting} {' '.join(rng.sample(rng.choice(subjects), 3))}")
            names.append(f"{seed} {user}")
    return texts, names


def test_what_a_user_says_in_every_row_weighs_less_and_what_changes_from_row_to_row_keeps_its_weight():
    texts, names = greeted([KITCHEN, GARDEN, MONEY], 1)
    rows = tokenize(texts)
    vocabulary = ["morning", "hey", "oven", "rose"]
    weights = of_topics(count_words(rows, vocabulary), names)

    assert weights[:2] == pytest.approx([0.2, 0.2], abs=0.01)  # one row in five says something new
    assert min(weights[2:]) > 0.6


@pytest.mark.parametrize("groups", [["one"] * 4, list("abcd")])
def test_habits_are_unknown_of_one_user_alone_and_of_users_of_one_row(groups):
    assert of_topics(count_words([("a",), ("b",), ("a",), ("b",)], ["a", "b"]), groups).tolist() == [1, 1]


def test_topics_are_what_is_asked_about_and_not_how_it_is_greeted():
    texts, names = greeted([KITCHEN, GARDEN, MONEY], 2)

    model = TopicModel.fit(texts, topics=3, seed=0, groups=names)

    found = {model.assign([" ".join(subject)])[0] for subject in (KITCHEN, GARDEN, MONEY)}
    assert len(found) == 3
    assert not {word for topic in range(3) for word in model.top_words(topic)} & set(
        " ".join(GREETINGS).split()
    )
