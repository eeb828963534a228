import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.augmentation.held_out import HeldOut, near
from gateway_tuning.datasets.quality.shingles import jaccard, shingle_sets
from gateway_tuning.datasets.quality.signatures import sign
from tests.conftest import SHARED_DATA

WORDS = st.lists(
    st.sampled_from(["where", "is", "my", "red", "parcel", "now", "please", "tell", "me"]), max_size=9
)
TEXTS = st.lists(WORDS.map(" ".join), max_size=6)
LIMITS = st.sampled_from([0.2, 0.35, 0.5, 0.7, 1.0])


def exactly(texts, held_out, limit):
    others = shingle_sets(held_out)
    return [any(jaccard(own, other) >= limit for other in others) for own in shingle_sets(texts)]


@given(TEXTS, TEXTS, LIMITS)
def test_with_shingles_a_text_is_near_where_the_exact_index_says_so(texts, held_out, limit):
    assert near(texts, HeldOut.of(held_out), limit).tolist() == exactly(texts, held_out, limit)


@given(TEXTS, LIMITS)
def test_a_held_out_text_is_near_by_signatures_alone(texts, limit):
    assert near(texts, HeldOut(sign(texts)), limit).all()


@pytest.mark.parametrize("held_out", [HeldOut.of([]), HeldOut(sign([]))])
def test_nothing_is_near_where_nothing_is_held_out(held_out):
    assert near(["a b c"], held_out, 0.2).tolist() == [False]


def test_by_signatures_alone_what_is_too_near_is_found_and_little_else():
    """Real questions, and each again with some of its words replaced."""
    path = SHARED_DATA / "feedbackqa" / "UK_valid.json"
    if not path.exists():
        pytest.skip("the shared FeedbackQA data is not here")
    questions = sorted({row["question"] for row in json.loads(path.read_text())})
    draws = random.Random(1)
    changed = [
        " ".join(word if draws.random() < kept else "other" for word in question.split())
        for question in questions
        for kept in (0.9, 0.8, 0.5)
    ]
    truth = np.array(exactly(changed, questions, 0.5))
    found = near(changed, HeldOut(sign(questions)), 0.5)

    assert truth.sum() > 100
    assert not (truth & ~found).any()
    far = ~np.array(exactly(changed, questions, 0.3))
    assert far.sum() > 100
    assert (found & far).sum() <= 0.05 * far.sum()
