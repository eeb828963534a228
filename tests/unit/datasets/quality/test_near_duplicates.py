"""Clusters hold what resembles each other, in any order; the nearest train text of a test text is found."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.datasets.quality import near_duplicates
from gateway_tuning.datasets.quality.near_duplicates import (
    clusters,
    measure_of,
    most_similar,
    prompt_clusters,
    similar_pairs,
)
from gateway_tuning.datasets.quality.shingles import jaccard, shingle_sets
from gateway_tuning.datasets.quality.signatures import sign


def fresh(chance, size=40):
    return [f"w{chance.randrange(10**7)}" for _ in range(size)]


def copy_at_least(chance, text, similarity):
    """A copy with words replaced in one run, as long as that similarity is kept."""
    copy, start = list(text), chance.randrange(len(text) - 4)
    for at in range(start, start + chance.randint(1, 4)):
        longer = [*copy[:at], f"x{chance.randrange(10**7)}", *copy[at + 1 :]]
        if jaccard(*shingle_sets([" ".join(text), " ".join(longer)])) < similarity:
            break
        copy = longer
    return copy


def nearest(test, train, *, measured=False, **options):
    """The indexes found are those of the texts in `test` and in `train`."""
    every = [*test, *train]
    tests, trains = np.arange(len(test)), np.arange(len(test), len(every))
    measure = measure_of(every, every) if measured else None
    found = most_similar(sign(every), tests, trains, measure=measure, **options)
    return None if found is None else replace(found, train=found.train - len(test))


def partition(ids):
    groups = {}
    for index, id_ in enumerate(np.asarray(ids).tolist()):
        groups.setdefault(id_, set()).add(index)
    return {frozenset(group) for group in groups.values()}


words = st.sampled_from("abcdef")
short_texts = st.lists(st.lists(words, min_size=1, max_size=7).map(" ".join), max_size=25)


@given(short_texts, st.randoms(use_true_random=False))
def test_the_order_of_the_texts_changes_no_cluster(texts, chance):
    order = list(range(len(texts)))
    chance.shuffle(order)

    before = clusters(sign(texts))
    after = clusters(sign([texts[at] for at in order]))

    assert after.tolist() == [before[at] for at in order]


@given(short_texts, st.randoms(use_true_random=False))
def test_nor_does_it_in_buckets_that_are_too_large_to_compare_all_pairs(texts, chance):
    order = list(range(len(texts)))
    chance.shuffle(order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "REACH", 2)
        before = clusters(sign(texts))
        after = clusters(sign([texts[at] for at in order]))

    assert after.tolist() == [before[at] for at in order]


@settings(max_examples=60)
@given(short_texts)
def test_measured_clusters_are_the_components_of_all_pairs_at_the_threshold(texts):
    """Against brute force; among so few texts the bands miss nothing (their chance is below 0.1 %, seeds are fixed)."""
    sets = shingle_sets(texts)
    component = list(range(len(texts)))
    for left in range(len(texts)):
        for right in range(left):
            if jaccard(sets[left], sets[right]) >= 0.5:
                old, new = component[left], component[right]
                component = [new if one == old else one for one in component]

    found = clusters(sign(texts), threshold=0.5, measure=measure_of(texts, texts))

    assert partition(found) == partition(component)


def test_a_pair_exactly_at_the_threshold_counts():
    texts = ["return my parcel", "return my parcel today"]  # one of two 3-grams

    assert len(partition(prompt_clusters(texts, threshold=0.5))) == 1
    assert len(partition(prompt_clusters(texts, threshold=0.51))) == 2


def test_every_planted_copy_above_the_threshold_is_found():
    chance = random.Random(11)
    originals = [fresh(chance) for _ in range(1500)]
    copies = [copy_at_least(chance, text, 0.8) for text in originals]
    texts = [" ".join(text) for text in [*originals, *copies]]

    found = clusters(sign(texts), threshold=0.7, measure=measure_of(texts, texts))

    assert partition(found) == {frozenset({at, at + 1500}) for at in range(1500)}


def test_clusters_reach_from_one_text_to_the_next():
    chance = random.Random(3)
    chain = [fresh(chance, 60)]
    for at in range(8):
        chain.append([*chain[-1][: 7 * at], f"x{at}", *chain[-1][7 * at + 1 :]])
    texts = [" ".join(text) for text in chain]

    assert jaccard(*shingle_sets([texts[0], texts[-1]])) < 0.7
    assert len(partition(clusters(sign(texts)))) == 1


def test_a_cluster_keeps_its_id_when_unrelated_texts_come():
    texts = ["how do I return a parcel that never fitted me", "how do I return a parcel that never fitted us"]
    strangers = [f"something else entirely number {number} of many" for number in range(50)]

    assert clusters(sign([*strangers, *texts]))[-2:].tolist() == clusters(sign(texts)).tolist()


def test_thousands_of_copies_in_one_bucket_are_one_cluster():
    base = fresh(random.Random(5), 60)
    texts = [" ".join([*base[: at % 60], f"x{at}", *base[at % 60 + 1 :]]) for at in range(3000)]

    assert len(partition(clusters(sign(texts), threshold=0.6))) == 1


def test_copies_are_found_among_thousands_of_one_template(monkeypatch):
    monkeypatch.setattr(near_duplicates, "REACH", 1)
    chance = random.Random(6)
    template = fresh(chance, 32)
    different = [[*template, *fresh(chance, 8)] for _ in range(2000)]  # two of them: 30 of 46 3-grams, 0.65
    copies = [[*text[:-1], f"x{chance.randrange(10**7)}"] for text in different[:100]]  # 37 of 39, 0.95
    texts = [" ".join(text) for text in [*different, *copies]]

    found = clusters(sign(texts), threshold=0.85, measure=measure_of(texts, texts))

    together = {frozenset({at, 2000 + at}) for at in range(100)}
    assert partition(found) == together | {frozenset({at}) for at in range(100, 2000)}


def test_no_text_has_no_cluster():
    assert clusters(sign([])).tolist() == []
    assert prompt_clusters([]).tolist() == []


def test_prompts_in_slightly_other_words_are_one():
    found = prompt_clusters(
        [
            "How can I return a pair of shoes that do not fit me?",
            "how can i return a pair of shoes that do not fit me please",
            "How can I change the address of my next delivery?",
        ]
    )

    assert partition(found) == {frozenset({0, 1}), frozenset({2})}


def test_questions_of_feedbackqa_are_clusters_of_their_own(feedbackqa):
    prompts = [question for question, _ in feedbackqa]

    found = prompt_clusters(prompts)

    largest = max(len({prompts[at] for at in group}) for group in partition(found))
    assert len(partition(found)) == 642  # of 643 questions, two share two thirds of their 3-grams
    assert largest == 2


def test_the_most_similar_pair_is_found_and_measured():
    chance = random.Random(2)
    train = [" ".join(fresh(chance)) for _ in range(500)]
    test = [" ".join(fresh(chance)) for _ in range(100)]
    test[40] = " ".join([*train[321].split()[:30], *fresh(chance, 10)])
    truth = jaccard(*shingle_sets([test[40], train[321]]))

    found = nearest(test, train, measured=True)

    assert (found.test, found.train, found.similarity, found.measured) == (40, 321, truth, True)
    assert nearest(test, train).measured is False


def test_without_a_candidate_there_is_no_most_similar_pair():
    chance = random.Random(4)
    unrelated = [" ".join(fresh(chance)) for _ in range(50)]

    assert nearest(unrelated[:10], unrelated[10:], floor=0.5) is None
    assert nearest([], unrelated) is None
    assert nearest(unrelated, []) is None


@pytest.mark.parametrize("seed", range(40))
def test_the_most_similar_pair_is_that_of_all_pairs(seed):
    chance = random.Random(seed)
    test, train = (
        [" ".join(chance.choice("abcd") for _ in range(chance.randint(5, 9))) for _ in range(6)]
        for _ in range(2)
    )
    truth = max(jaccard(one, other) for one in shingle_sets(test) for other in shingle_sets(train))

    found = nearest(test, train, floor=0.3, measured=True)

    assert (found.similarity if found else None) == (truth if truth >= 0.3 else None)


@given(short_texts, short_texts)
def test_the_most_similar_pair_is_at_least_as_similar_as_any_equal_one(test, train):
    found = nearest(test, train, measured=True)

    if set(test) & set(train):
        assert found.similarity == 1
        assert sign([test[found.test]]).exact == sign([train[found.train]]).exact


@given(short_texts, short_texts)
def test_similar_pairs_hold_every_equal_pair(texts, known):
    left, right, shares = similar_pairs(sign(texts), sign(known), threshold=0.9)

    found = set(zip(left.tolist(), right.tolist(), strict=True))
    equal = {(i, j) for i, one in enumerate(texts) for j, other in enumerate(known) if one == other}
    assert equal <= found
    assert all(share >= 0.9 for share in shares)
