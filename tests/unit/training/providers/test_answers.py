"""What a provider's refusal becomes: what happened, to which object, and what to do."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gateway_tuning.errors import ProviderError, ProviderUnavailableError
from gateway_tuning.training.providers import answers

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def _error(status, code=None, message="", **headers):
    return answers.of_status("OpenAI", status, code, message, headers, now=NOW)


@pytest.mark.parametrize(
    ("status", "code", "message", "told"),
    [
        (401, "invalid_api_key", "Incorrect API key provided", "set a key that is valid"),
        (403, None, "You do not have access to this project", "the right to tune models"),
        (402, None, "Payment required", "raise the limit"),
        (429, "insufficient_quota", "You exceeded your current quota", "raise the limit"),
        (429, "billing_hard_limit_reached", "Billing hard limit has been reached", "raise the limit"),
        (400, "unsafe_file", "This training file was blocked by our moderation", "leave them out"),
        (400, None, "The file violates our usage policies", "leave them out"),
        (400, "invalid_training_file", "has 3 examples, but must have at least 10 examples", "more feedback"),
        (400, None, "Fine-tuning is no longer accessible to new users", "datasets export --for"),
        (403, "model_deprecated", "gpt-3.5-turbo-0613 is deprecated", "datasets export --for"),
        (400, "model_not_available", "Model gpt-9 is not available for fine-tuning", "a base model that it"),
        (404, "model_not_found", "The model gpt-9 does not exist", "a base model that it"),
        (413, None, "Request Entity Too Large", "take a sample"),
        (400, None, "File exceeds the maximum size of 512 MB", "take a sample"),
        (400, "invalid_file_format", "Line 3 is not valid", "datasets validate"),
        (418, None, "I am a teapot", "Correct what it names"),
    ],
)
def test_a_refusal_is_final_quotes_the_provider_and_says_what_to_do(status, code, message, told):
    error = _error(status, code, message)

    assert type(error) is ProviderError
    assert told.lower() in str(error).lower()
    assert message in str(error)
    assert str(error).startswith("OpenAI: ")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_may_be_tried_again(status):
    assert type(_error(status, None, "busy")) is ProviderUnavailableError


def test_a_rate_limit_that_mentions_billing_is_still_one():
    hint = "Rate limit reached. You can increase it by adding a payment method at /account/billing"
    assert type(_error(429, "rate_limit_exceeded", hint)) is ProviderUnavailableError


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Sun, 01 Nov 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header, seconds):
    assert answers.retry_after({"retry-after": header}, now=NOW) == seconds


def test_without_a_header_nothing_is_known_of_the_wait():
    assert answers.retry_after({}, now=NOW) is None


@given(st.text(), st.none() | st.text(), st.integers(400, 599))
def test_any_refusal_is_told_in_one_bounded_line(message, code, status):
    told = str(_error(status, code and code[:40], message))
    assert len(told.splitlines()) == 1
    assert len(told) < 1000


SENT = "what was sent"


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ('{"error": {"code": "c", "type": "t", "message": "No."}}', "c", "No."),
        ('{"error": {"code": null, "type": "t", "message": "No."}}', "t", "No."),
        ('{"error": "No."}', None, "No."),
        ('{"detail": "No."}', None, "No."),
        ('{"message": {"detail": "No."}, "type": "t"}', "t", "No."),
        (f'{{"detail": [{{"loc": ["body", 0], "msg": "No.", "input": "{SENT}"}}]}}', None, "body.0: No."),
        (f'{{"detail": [{{"msg": "No.", "input": "{SENT}"}}, "Nor that."]}}', None, "No.; Nor that."),
        (f'{{"error": {{"input": "{SENT}"}}}}', None, ""),
        (f'{{"error": {{"code": ["{SENT}"], "message": ""}}}}', None, ""),
        (f"<html>{SENT}</html>", None, ""),
        (f'{{"cut off": "{SENT}', None, ""),
        ("[" * 100_000, None, ""),
        ("", None, ""),
    ],
)
def test_of_an_error_only_its_code_and_reason_are_read_and_nothing_that_was_sent(body, code, told):
    assert answers.reason(body) == answers.reason(body.encode()) == (code, told)


@given(st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_any_body_is_read(body):
    answers.reason(body)


def test_an_answer_of_another_shape_is_told_by_its_fields_and_without_their_values():
    class Answer(BaseModel):
        progress: float

    with pytest.raises(ValidationError) as broken:
        Answer.model_validate({"progress": SENT})

    told = str(answers.unreadable("The custom trainer", broken.value))
    assert "progress" in told
    assert SENT not in told
