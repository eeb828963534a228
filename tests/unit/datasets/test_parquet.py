"""Parts of every version are readable, and say whose feedback they hold."""

import io
from dataclasses import replace

import pyarrow.parquet as pq

from gateway_tuning.datasets import parquet
from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from tests.conftest import NOW

EXAMPLE = Example(
    id="e1",
    kind=ExampleKind.DEMONSTRATION,
    messages=(Turn("user", "Where is my order?"),),
    answer="On its way.",
    rejected=None,
    desirable=None,
    feedback_ids=("f1", "f2"),
    feedback_types=("correction",),
    last_feedback_at=NOW,
    group_id="g1",
    split="train",
    subject_ids=("s1", "s2"),
)


def test_an_example_comes_back_as_it_was_written():
    assert parquet.decode(parquet.encode([EXAMPLE])) == [EXAMPLE]


def test_a_part_of_version_1_has_no_subjects():
    table = pq.read_table(io.BytesIO(parquet.encode([EXAMPLE]))).drop_columns(["subject_ids"])
    first = io.BytesIO()
    pq.write_table(table, first)

    assert parquet.decode(first.getvalue()) == [replace(EXAMPLE, subject_ids=())]


def test_an_empty_part_is_read_as_no_examples():
    assert parquet.decode(parquet.encode([])) == []
