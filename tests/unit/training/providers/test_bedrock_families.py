import pytest
from pydantic import ValidationError

from gateway_tuning.errors import ConfigurationError, ProviderError
from gateway_tuning.settings import Settings
from gateway_tuning.training.providers.bedrock.account import BedrockAccount
from gateway_tuning.training.providers.bedrock.families import FAMILIES, as_strings, family_of
from gateway_tuning.training.providers.bedrock.provider import CAPABILITIES, job_name

ROLE = "arn:aws:iam::123456789012:role/tuner"


@pytest.mark.parametrize(
    ("base_model", "export", "least"),
    [
        ("amazon.nova-2-lite-v1:0:256k", "bedrock-nova", 8),
        ("anthropic.claude-3-haiku-20240307-v1:0:200k", "bedrock-claude", 32),
        ("meta.llama3-1-70b-instruct-v1:0:128k", "bedrock-llama", 1),
        ("meta.llama3-2-3b-instruct-v1:0:128k", "bedrock-llama-converse", 1),
        ("meta.llama3-3-70b-instruct-v1:0:128k", "bedrock-llama-converse", 1),
        (
            "arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-1-8b-instruct-v1:0:128k",
            "bedrock-llama",
            1,
        ),
        (
            "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-lite-v1:0:300k/a1",
            "bedrock-nova",
            8,
        ),
    ],
)
def test_a_base_models_family_decides_the_format_and_the_fewest_examples(base_model, export, least):
    able = CAPABILITIES.of_base(base_model)
    assert (able.export_of("supervised"), able.min_examples) == (export, least)
    assert family_of(base_model).format_name == export


@pytest.mark.parametrize(
    "base_model", ["gpt-4o", "amazon.nova-canvas-v1:0", "amazon.titan-text-express-v1:0:8k"]
)
def test_a_model_that_is_not_tuned_on_text_is_refused_by_name(base_model):
    with pytest.raises(ProviderError, match=base_model):
        family_of(base_model)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.word)
def test_a_familys_own_defaults_are_in_its_ranges(family):
    defaults = family.hyperparameters().model_dump()
    assert family.hyperparameters.model_validate(defaults).model_dump() == defaults


@pytest.mark.parametrize(
    ("word", "name", "wrong"),
    [
        ("amazon.nova-", "epochCount", 6),
        ("amazon.nova-", "learningRate", 2e-4),
        ("amazon.nova-", "batchSize", 1),
        ("anthropic.claude-3-haiku", "batchSize", 3),
        ("anthropic.claude-3-haiku", "earlyStoppingPatience", 0),
        ("meta.llama3-1-", "batchSize", 2),
        ("meta.llama3-1-", "epochCount", 2.5),
    ],
)
def test_a_hyperparameter_out_of_its_documented_range_does_not_pass(word, name, wrong):
    family = family_of(word + "x")
    with pytest.raises(ValidationError, match=name):
        family.hyperparameters.model_validate({name: wrong})


def test_hyperparameters_travel_as_plain_decimals():
    told = as_strings({"learningRate": 1e-6, "epochCount": 10, "learningRateMultiplier": 1.0, "rate": 0.05})
    assert told == {
        "learningRate": "0.000001",
        "epochCount": "10",
        "learningRateMultiplier": "1",
        "rate": "0.05",
    }


def test_a_jobs_name_tells_its_key_and_fits_whatever_the_key_is():
    key = "0123456789abcdef" * 4
    assert job_name(key) == f"gateway-tuning-{key[:48]}"
    assert job_name("nightly-7") == "gateway-tuning-nightly-7"
    odd = {job_name(name) for name in ("a--b", "ключ", "x" * 49, "a_b", "-a")}
    assert len(odd) == 5
    assert all(len(name) == 63 for name in odd)


def test_an_account_without_what_it_needs_names_the_settings():
    settings = Settings(bedrock_region="us-east-1", _env_file=None)
    with pytest.raises(
        ConfigurationError, match="GATEWAY_TUNING_BEDROCK_ROLE_ARN, GATEWAY_TUNING_BEDROCK_DATA_URL"
    ):
        BedrockAccount.from_settings(settings)


@pytest.mark.parametrize("url", ["tuning/folder", "s3://Tuning", "s3://tuning/a b", "https://tuning.example"])
def test_a_folder_that_bedrock_would_not_take_is_refused(url):
    with pytest.raises(ConfigurationError, match="BEDROCK_DATA_URL"):
        BedrockAccount("us-east-1", ROLE, url)
