from datetime import date, timedelta

import pytest

from gateway_tuning.errors import ClosedError, ProviderError
from gateway_tuning.training.job import TuningSpec
from gateway_tuning.training.lifecycle.guard import require_open, rows
from gateway_tuning.training.lifecycle.table import Purpose, Row, State, refuse_faults, verdict

TODAY = date(2026, 11, 26)
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0:200k"
ROWS = (
    Row("acme", "*", "https://acme.example", TODAY, no_new_jobs_from=date(2027, 1, 6)),
    Row(
        "acme",
        "old-*",
        "https://acme.example",
        TODAY,
        inference_ends_on=date(2027, 1, 1),
        replaced_by="new-1",
    ),
    Row("steady", "*", "https://steady.example", TODAY),
    Row("tired", "*", "https://tired.example", TODAY, is_deprecated=True),
)


def test_the_packaged_table_has_sources_dates_that_have_been_and_nothing_twice():
    assert refuse_faults(rows(), today=TODAY) == []
    assert len(rows()) > 10


@pytest.mark.parametrize(
    ("provider", "model", "state", "ends_on"),
    [
        ("openai", "gpt-4.1-2025-04-14", State.ENDING, date(2027, 1, 6)),
        ("openai", "gpt-4.1-nano-2025-04-14", State.CLOSED, date(2026, 10, 23)),
        ("openai", "o4-mini-2025-04-16", State.CLOSED, date(2026, 10, 23)),
        ("openai", "a-model-of-tomorrow", State.ENDING, date(2027, 1, 6)),
        ("bedrock", HAIKU, State.CLOSED, date(2026, 9, 10)),
        ("bedrock", f"arn:aws:bedrock:us-west-2::foundation-model/{HAIKU}", State.CLOSED, date(2026, 9, 10)),
        ("bedrock", "amazon.nova-micro-v1:0:128k", State.OK, None),
        ("bedrock", "meta.llama3-1-8b-instruct-v1:0", State.UNKNOWN, None),
        ("mistral", "open-mistral-7b", State.ENDING, None),
        ("cohere", "command-r", State.CLOSED, date(2025, 9, 15)),
        ("together", "any", State.UNKNOWN, None),
        ("llama", "SmolLM2-135M-Instruct", State.OK, None),
    ],
)
def test_on_26_november_2026_tuning_of_a_base_model_is(provider, model, state, ends_on):
    found = verdict(rows(), provider, model, TODAY)

    assert (found.state, found.ends_on) == (state, ends_on)


def test_what_was_tuned_is_served_for_longer_than_it_is_tuned():
    day = date(2027, 1, 10)
    tuned = verdict(rows(), "openai", "gpt-4o-2024-08-06", day)
    served = verdict(rows(), "openai", "gpt-4o-2024-08-06", day, purpose=Purpose.SERVE)

    assert (tuned.state, served.state, served.days_left) == (State.CLOSED, State.ENDING, 4)


@pytest.mark.parametrize(
    ("before", "state"),
    [(91, State.OK), (90, State.ENDING), (1, State.ENDING), (0, State.CLOSED), (-1, State.CLOSED)],
)
def test_ninety_days_before_its_end_a_model_is_ending_and_from_that_day_on_it_is_closed(before, state):
    found = verdict(ROWS, "acme", "any", date(2027, 1, 6) - timedelta(days=before))

    assert (found.state, found.days_left) == (state, before)


def test_the_earliest_end_counts_and_the_replacement_and_the_source_are_told():
    found = verdict(ROWS, "acme", "old-1", TODAY)

    assert found.ends_on == date(2027, 1, 1)
    assert "use new-1" in found.told
    assert "https://acme.example" in found.told


def test_a_model_of_which_nothing_is_known_is_neither_open_nor_closed():
    assert verdict(ROWS, "nobody", "any", TODAY).state is State.UNKNOWN


def test_a_deprecated_model_without_a_date_is_ending():
    found = verdict(ROWS, "tired", "any", TODAY)

    assert (found.state, found.days_left) == (State.ENDING, None)


def test_a_job_for_a_closed_model_is_refused_with_the_way_out_in_the_format_of_its_method():
    spec = TuningSpec("openai", "gpt-4.1-nano-2025-04-14", "ds-1", method="dpo")

    with pytest.raises(ClosedError, match="takes no more tuning jobs") as refused:
        require_open(spec, today=TODAY)

    assert isinstance(refused.value, ProviderError)
    assert "gateway-tuning datasets export ds-1 --for trl-dpo" in str(refused.value)


def test_a_job_for_an_open_model_goes_on_with_what_is_known():
    assert require_open(TuningSpec("openai", "gpt-4.1-2025-04-14", "ds-1"), today=TODAY).days_left == 41


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (Row("a", "m", "hearsay", TODAY), "has no source"),
        (Row("a", "m", "own", TODAY + timedelta(days=1)), "which is to come"),
        (
            Row("a", "m", "own", TODAY, no_new_jobs_from=TODAY, inference_ends_on=TODAY - timedelta(days=1)),
            "longer than it is served",
        ),
    ],
)
def test_a_row_that_cannot_be_right_is_told(row, fault):
    (told,) = refuse_faults([row], today=TODAY)

    assert fault in told


def test_a_row_that_stands_there_twice_is_told():
    row = Row("a", "m", "own", TODAY)

    assert "twice" in refuse_faults([row, row], today=TODAY)[0]
