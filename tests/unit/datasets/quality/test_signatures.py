"""Signatures estimate the Jaccard index of word 3-grams, and are the same everywhere."""

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway_tuning.datasets.quality.shingles import hash_words, jaccard, ngrams, shingle_sets, split_words
from gateway_tuning.datasets.quality.signatures import (
    PERMUTATIONS,
    Signatures,
    banding,
    concatenate,
    sign,
    standard_error,
)
from gateway_tuning.errors import ConfigurationError

words = st.text("abcdefgäßж", min_size=1, max_size=4)
texts = st.lists(words, max_size=30).map(" ".join) | st.text(max_size=40)


def same(left: Signatures, right: Signatures) -> bool:
    return np.array_equal(left.exact, right.exact) and np.array_equal(left.minima, right.minima)


def estimate(left: str, right: str, permutations: int = PERMUTATIONS) -> float:
    minima = sign([left, right], permutations).minima
    return float(np.mean(minima[0] == minima[1]))


def exact(left: str, right: str) -> float:
    return jaccard(*shingle_sets([left, right]))


@given(st.lists(texts, max_size=8))
def test_a_text_has_the_same_signature_whatever_stands_beside_it(many):
    assert same(sign(many), concatenate([sign([text]) for text in many]))


def test_texts_beyond_one_chunk_are_signed_as_those_within():
    many = [f"question number {number} of a long list" for number in range(2500)]

    assert same(sign(many), concatenate([sign(many[:700]), sign(many[700:])]))


def test_the_process_hash_seed_changes_nothing():
    code = (
        "from gateway_tuning.datasets.quality.signatures import sign\n"
        "s = sign(['Where is my order?', 'ja', 'こんにちは世界', ''])\n"
        "print(s.exact.tobytes().hex(), s.minima.tobytes().hex())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4242")
    }

    assert len(outputs) == 1
    here = sign(["Where is my order?", "ja", "こんにちは世界", ""])
    assert outputs.pop().split() == [here.exact.tobytes().hex(), here.minima.tobytes().hex()]


def test_signatures_of_a_release_stay_those_of_the_next():
    """Stored evaluation sets and partitions of another worker are compared with these."""
    signed = sign(["Where is my order?"], 4)

    assert signed.exact.tolist() == [16_133_313_030_267_969_672]
    assert signed.minima.tolist() == [[1_119_430_046, 3_529_555_809, 518_544_298, 1_823_526_187]]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Where is my order?", "where  IS my order"),
        ("Don't do it; never.", "don\u2019t do it - never"),
        ("ﬁve ﬁles", "five files"),
        ("STRASSE nach Bonn", "straße nach bonn"),
    ],
)
def test_case_punctuation_and_compatible_characters_make_no_difference(left, right):
    assert same(sign([left]), sign([right]))


@pytest.mark.parametrize(("left", "right"), [("?!", "..."), ("", "?"), ("yes", "no"), ("ja", "ja ja")])
def test_different_short_texts_have_nothing_in_common(left, right):
    assert sign([left]).exact != sign([right]).exact
    assert estimate(left, right) < 1


def test_scripts_without_spaces_are_compared_by_characters():
    first = "注文した商品がまだ届いていません。確認してください。"
    second = "注文した商品がまだ届いていません。確認してもらえますか。"

    assert split_words("注文 ok") == ["注", "文", "ok"]
    assert 0.5 < exact(first, second) < 0.9
    assert abs(estimate(first, second) - exact(first, second)) < 0.15


@given(st.lists(words, min_size=1, max_size=20), st.lists(words, min_size=1, max_size=20))
def test_the_exact_index_is_that_of_sets_of_word_triples(left, right):
    def triples(text):
        return {tuple(text[at : at + 3]) for at in range(len(text) - 2)}

    ones, others = (triples(split_words(" ".join(text))) for text in (left, right))
    assume(ones and others)

    assert exact(" ".join(left), " ".join(right)) == len(ones & others) / len(ones | others)


@given(
    st.integers(0, 2**32),
    st.integers(8, 60),
    st.floats(0, 1),
)
def test_the_estimate_lies_within_five_standard_errors_of_the_exact_index(seed, size, kept):
    chance = random.Random(seed)
    first = [f"w{chance.randrange(10**6)}" for _ in range(size)]
    second = [word if chance.random() < kept else f"v{chance.randrange(10**6)}" for word in first]
    truth = exact(" ".join(first), " ".join(second))

    found = estimate(" ".join(first), " ".join(second))

    assert abs(found - truth) <= max(5 * standard_error(truth), 2 / PERMUTATIONS)


def test_estimates_of_many_pairs_are_unbiased_and_vary_as_a_binomial_share():
    chance = random.Random(7)
    errors = []
    for _ in range(400):
        first = [f"w{chance.randrange(10**6)}" for _ in range(40)]
        second = [*first[:30], *(f"v{chance.randrange(10**6)}" for _ in range(10))]
        truth = exact(" ".join(first), " ".join(second))
        errors.append((estimate(" ".join(first), " ".join(second)) - truth) / standard_error(truth))

    assert abs(np.mean(errors)) < 4 / np.sqrt(400)
    assert 0.85 < np.std(errors) < 1.15


def test_word_hashes_tell_all_words_of_a_large_vocabulary_apart():
    vocabulary = [f"{prefix}{number}" for prefix in ("", "a", "aa", "ä", "0") for number in range(40_000)]

    hashes = hash_words([vocabulary]).hashes

    assert len(np.unique(hashes)) == len(set(vocabulary))


def test_ngrams_stay_within_their_text_and_tell_order():
    runs = ngrams(hash_words([["a", "b", "c"], [], ["b", "a"]]), 2)

    assert runs.owners.tolist() == [0, 0, 2]
    assert len(np.unique(runs.hashes)) == 3


@given(st.floats(0.3, 1), st.floats(0.0001, 0.2))
def test_bands_miss_a_pair_at_the_threshold_no_more_often_than_allowed(threshold, missed):
    cut = banding(threshold, max_missed=missed)

    assert cut.bands * cut.rows <= PERMUTATIONS
    assert 1 - cut.chance_found(threshold) <= missed


def test_a_threshold_that_the_permutations_cannot_serve_is_refused_with_the_remedy():
    with pytest.raises(ConfigurationError, match="raise the permutations"):
        banding(0.05, 16)
    with pytest.raises(ConfigurationError, match="at most 1"):
        banding(1.5)


def test_signatures_of_different_widths_are_not_joined():
    with pytest.raises(ConfigurationError, match=r"\[64, 128\]"):
        concatenate([sign(["a"], 64), sign(["a"], 128)])
