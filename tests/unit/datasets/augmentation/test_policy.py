import pytest
from pydantic import ValidationError

from gateway_tuning.datasets.augmentation import catalog
from gateway_tuning.datasets.augmentation.policy import AugmentationPolicy, AugmenterShare, ParaphraseEndpoint
from gateway_tuning.errors import ConfigurationError

ENDPOINT = {"base_url": "https://models.example/v1", "model": "m"}
HALVES = [{"name": "noise", "share": 0.5}, {"name": "paraphrase", "share": 0.5}]


def test_nothing_is_augmented_until_an_augmenter_is_named():
    assert not AugmentationPolicy().is_on
    assert AugmentationPolicy(augmenters=(AugmenterShare(name="noise"),)).is_on
    assert not AugmentationPolicy(augmenters=(AugmenterShare(name="noise"),), factor=0).is_on


def test_equal_policies_have_one_json_whatever_order_they_are_written_in():
    one = AugmentationPolicy(augmenters=HALVES, kinds=["preference", "demonstration"], paraphrase=ENDPOINT)
    other = AugmentationPolicy(
        augmenters=HALVES[::-1], kinds=["demonstration", "preference", "preference"], paraphrase=ENDPOINT
    )

    assert one.model_dump_json() == other.model_dump_json()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"augmenters": [{"name": "noise", "share": 0.4}]}, "sum to 1"),
        ({"augmenters": [HALVES[0], HALVES[0]]}, "name each once"),
        ({"augmenters": [{"name": "paraphrase"}]}, "give its base_url and model"),
        ({"kinds": []}, "at least 1"),
        ({"max_similarity_to_test": 0.1}, "greater than or equal to 0.2"),
        ({"factor": -1}, "greater than or equal to 0"),
        ({"temperature": 1}, "not permitted"),
        ({"paraphrase": ENDPOINT | {"api_key": "k"}}, "not permitted"),
        ({"paraphrase": ENDPOINT | {"api_key_env": "sk-abcdef123"}}, "match pattern"),
        ({"paraphrase": ENDPOINT | {"base_url": "https://u:secret@models.example/v1"}}, "holds credentials"),
        (
            {"paraphrase": ENDPOINT | {"base_url": "https://models.example/v1?key=secret"}},
            "holds credentials",
        ),
        ({"paraphrase": ENDPOINT | {"base_url": "models.example/v1"}}, "needs http"),
        ({"paraphrase": ENDPOINT | {"base_url": "http://[models/v1"}}, "is no address"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_with_the_reason(fields, told):
    with pytest.raises(ValidationError, match=told):
        AugmentationPolicy(**fields)


def test_an_unknown_augmenter_is_told_with_those_there_are():
    with pytest.raises(ConfigurationError, match=r"No augmenter 'echo'; there are: .*noise.*paraphrase"):
        catalog.augmenter("echo", AugmentationPolicy(), lambda _text: None)


def test_paraphrase_without_an_endpoint_is_refused():
    with pytest.raises(ConfigurationError, match="no endpoint"):
        catalog.augmenter("paraphrase", AugmentationPolicy(), lambda _text: None)


def test_a_key_that_is_not_set_is_told_by_its_variable_before_anything_is_sent(monkeypatch):
    pytest.importorskip("openai", reason="the openai extra is not installed")
    monkeypatch.delenv("REWRITER_KEY", raising=False)
    endpoint = ParaphraseEndpoint(**ENDPOINT, api_key_env="REWRITER_KEY")
    policy = AugmentationPolicy(augmenters=(AugmenterShare(name="paraphrase"),), paraphrase=endpoint)

    with pytest.raises(ConfigurationError, match="REWRITER_KEY, which is not set"):
        catalog.augmenters(policy, lambda _text: None)
