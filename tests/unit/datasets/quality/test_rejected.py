"""What was left out can be read again, and is found by whom it came from."""

import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from gateway_tuning.datasets.quality.filters import Reason
from gateway_tuning.datasets.quality.rejected import Rejected, decode, encode, rejected, without_subjects
from gateway_tuning.errors import IntegrityError
from tests.conftest import NOW

EXAMPLE = Example(
    id="e1",
    kind=ExampleKind.PREFERENCE,
    messages=(Turn("user", "Where is my order?"),),
    answer="On its way.",
    rejected="No idea.",
    desirable=None,
    feedback_ids=("f1", "f2"),
    feedback_types=("correction",),
    last_feedback_at=NOW,
    group_id="g1",
    split="train",
    subject_ids=("s1", "s2"),
)
ONE = rejected(EXAMPLE, "duplicates", Reason("near_duplicate_of", "near_duplicate_of e0"), by="e0")

ids = st.lists(st.text("abc", min_size=1, max_size=3), max_size=3).map(tuple)
texts = st.text(st.characters(exclude_categories=["Cs"]))
anything = st.builds(
    Rejected,
    example_id=texts,
    kind=st.sampled_from(ExampleKind),
    stage=texts,
    code=texts,
    reason=texts,
    by=st.none() | texts,
    prompt=texts,
    answer=texts,
    rejected_answer=st.none() | texts,
    feedback_ids=ids,
    subject_ids=ids,
)


def test_an_example_is_written_down_with_its_texts_and_everybody_behind_it():
    assert decode(encode([ONE])) == [
        Rejected(
            example_id="e1",
            kind=ExampleKind.PREFERENCE,
            stage="duplicates",
            code="near_duplicate_of",
            reason="near_duplicate_of e0",
            by="e0",
            prompt="Where is my order?",
            answer="On its way.",
            rejected_answer="No idea.",
            feedback_ids=("f1", "f2"),
            subject_ids=("s1", "s2"),
        )
    ]


@given(st.lists(anything, max_size=5, unique_by=lambda one: one.example_id))
def test_all_come_back_and_the_order_changes_no_byte(every):
    data = encode(every)

    assert decode(data) == sorted(every, key=lambda one: one.example_id)
    assert encode(every[::-1]) == data


def test_a_lone_surrogate_is_written_as_a_replacement_character():
    (found,) = decode(encode([replace(ONE, answer="half \ud83d", prompt="whole 😀")]))

    assert (found.answer, found.prompt) == ("half \ufffd", "whole 😀")


def test_an_erased_subject_takes_all_along_that_was_made_with_it():
    other = replace(ONE, example_id="e2", subject_ids=("s3",))

    assert without_subjects([ONE, other], frozenset({"s2"})) == [other]


def test_bytes_that_are_no_such_parquet_are_refused_with_the_remedy():
    other = io.BytesIO()
    pq.write_table(pa.table({"id": ["e1"]}), other)

    for data in (b"no parquet", encode([ONE])[:-10], other.getvalue()):
        with pytest.raises(IntegrityError, match="build the dataset again"):
            decode(data)
