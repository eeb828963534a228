"""What a provider does not take is told before anything is trained."""

import pytest

from gateway_tuning.errors import ConfigurationError, ProviderError
from gateway_tuning.training.search.checking import check, defaults
from tests.unit.training.search.conftest import make_plan

LOCAL = {"provider": "llama", "base_model": "SmolLM2-135M-Instruct"}
NOVA = "amazon.nova-micro-v1:0:128k"


def ranged(name, low, high):
    return {"type": "continuous", "name": name, "min": low, "max": high}


@pytest.mark.parametrize(
    ("training", "parameter"),
    [
        (LOCAL, ranged("learning_rate", 1e-4, 1e-2)),
        (LOCAL, {"type": "discrete", "name": "rank", "min": 1, "max": 64}),
        ({"provider": "openai", "base_model": "gpt-4o-mini-2024-07-18"}, {"type": "discrete", "name": "n_epochs", "min": 1, "max": 4}),
        ({"provider": "bedrock", "base_model": NOVA}, {"type": "discrete", "name": "epochCount", "min": 1, "max": 4}),
        ({"provider": "of another package", "base_model": "x"}, ranged("anything", 0, 1)),
    ],
)  # fmt: skip
def test_what_a_provider_takes_is_no_error(training, parameter):
    check(make_plan(parameter, training=training))


@pytest.mark.parametrize(
    ("training", "parameter", "told"),
    [
        (LOCAL, ranged("learning_rat", 0, 1), "llama has no hyperparameter learning_rat for supervised; it has: rank"),
        (LOCAL, ranged("learning_rate", 1e-4, 0.5), "llama does not take learning_rate=0.5"),
        (LOCAL, ranged("beta", 0.1, 0.5), "no hyperparameter beta for supervised"),
        (LOCAL, {"type": "categorical", "name": "rank", "options": [4, "many"]}, "rank='many'"),
        ({"provider": "openai", "base_model": "gpt-4o-mini-2024-07-18"}, ranged("rank", 1, 2), "openai has no hyperparameter rank"),
    ],
)  # fmt: skip
def test_what_it_does_not_take_is_named_with_the_remedy(training, parameter, told):
    with pytest.raises(ConfigurationError, match=told):
        check(make_plan(parameter, training=training))


def test_a_base_model_that_a_provider_does_not_tune_is_refused():
    with pytest.raises(ProviderError, match="Bedrock tunes no base model"):
        check(make_plan(training={"provider": "bedrock", "base_model": "gpt-4o"}))


def test_similarity_of_models_elsewhere_needs_their_address():
    plan = {"training": {"provider": "openai", "base_model": "gpt-4o-mini-2024-07-18"}}
    epochs = {"type": "discrete", "name": "n_epochs", "min": 1, "max": 4}

    with pytest.raises(ConfigurationError, match=r"set objective\.base_url"):
        check(make_plan(epochs, objective={"metric": "similarity"}, **plan))
    check(make_plan(epochs, objective={"metric": "similarity", "base_url": "http://127.0.0.1/v1"}, **plan))


def test_an_address_does_not_make_another_local_base_model_measurable():
    own = LOCAL | {"base_model": "/models/own"}
    objective = {"metric": "similarity", "base_url": "http://127.0.0.1/v1"}

    with pytest.raises(ConfigurationError, match="Only SmolLM2-135M-Instruct is served here"):
        check(make_plan(ranged("learning_rate", 1e-4, 1e-2), training=own, objective=objective))


def test_the_defaults_are_the_provider_s_own_under_what_the_plan_says():
    training = LOCAL | {"hyperparameters": {"rank": 4}}
    found = defaults(make_plan(ranged("learning_rate", 1e-4, 1e-2), training=training))

    assert (found["rank"], found["alpha"], found["learning_rate"]) == (4, 16.0, 4e-3)


def test_preferences_are_learned_more_slowly_than_answers_by_default():
    training = LOCAL | {"method": "dpo"}

    assert defaults(make_plan(ranged("beta", 0.1, 0.5), training=training))["learning_rate"] < 4e-3
