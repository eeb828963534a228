"""OpenAI's figures under our names, from checkpoints and from the CSV of results."""

import base64
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.training.providers.openai import results

CSV = """step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy
1,2.5,0.3,,
2,1.5,0.5,1.75,0.6
3,1.25,0.55,,
"""


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode(),
        CSV.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + CSV.encode(),
        base64.b64encode(CSV.encode()),
        base64.encodebytes(CSV.encode()),  # in lines
    ],
    ids=["plain", "windows", "byte order mark", "base64", "base64 in lines"],
)
def test_the_last_value_of_each_column_counts_however_the_table_comes(content):
    assert results.last_of_each(results.text_of(content)) == {
        "train_loss": 1.25,
        "train_token_accuracy": 0.55,
        "validation_loss": 1.75,
        "validation_token_accuracy": 0.6,
        "steps": 3.0,
    }


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"<html></html>", base64.b64encode(b"no table")])
def test_what_is_no_table_is_none(content):
    assert results.text_of(content) is None


def test_blank_words_and_what_is_no_number_leave_a_metric_unknown():
    table = "step, train_loss, valid_loss\n1, , n/a\n2, nan, \n"
    assert results.last_of_each(table) == {"steps": 2.0}


def test_a_table_without_rows_tells_nothing():
    assert results.last_of_each("step,train_loss\n") == {}


def test_a_row_longer_than_the_head_does_no_harm():
    assert results.last_of_each("step,train_loss\n1,0.5,9,9\n") == {"train_loss": 0.5, "steps": 1.0}


def test_the_loss_of_the_whole_validation_file_goes_before_that_of_a_batch():
    told = {"valid_loss": 3.0, "full_valid_loss": 2.0, "full_valid_mean_token_accuracy": None, "step": 4}
    assert results.metrics(told) == {"validation_loss": 2.0}


def test_a_diverged_loss_is_seen():
    assert math.isnan(results.metrics({"valid_loss": "NaN"})["validation_loss"])


@given(st.binary())
def test_any_content_is_read_or_is_none(content):
    text = results.text_of(content)
    if text is not None:
        results.last_of_each(text)
