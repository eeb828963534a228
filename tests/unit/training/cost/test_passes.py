from decimal import Decimal

import pytest

from gateway_tuning.training.cost.passes import passes


@pytest.mark.parametrize(
    ("provider", "model", "hyperparameters", "through"),
    [
        ("openai", "gpt-4o", {"n_epochs": 4}, 4),
        ("together", "m", {}, 1),
        ("bedrock", "amazon.nova-micro-v1:0", {}, 2),
        ("bedrock", "meta.llama3-1-8b", {"epochCount": 3}, 3),
        ("mistral", "m", {"epochs": 1.5}, Decimal("1.5")),
    ],
)
def test_epochs_that_are_set_or_documented_are_certain(provider, model, hyperparameters, through):
    found = passes(provider, model, hyperparameters, examples=500)

    assert (found.through_training, found.is_set) == (through, True)


@pytest.mark.parametrize(("examples", "epochs"), [(10, 10), (20, 5), (500, 3), (20_000, 1), (2, 25)])
def test_openais_own_choice_is_taken_from_its_cookbook_and_is_not_certain(examples, epochs):
    found = passes("openai", "gpt-4o", {"n_epochs": "auto"}, examples=examples)

    assert (found.through_training, found.is_set) == (epochs, False)


def test_a_provider_that_does_not_tell_its_default_leaves_it_unknown():
    found = passes("mistral", "m", {"training_steps": 10}, examples=500)

    assert found.through_training is None
    assert "set epochs" in found.told


def test_looks_at_the_validation_file_count_where_they_are_charged():
    assert passes("together", "m", {"n_evals": 5}, examples=10).through_validation == 5


def test_the_local_trainer_ends_by_steps_or_by_epochs():
    by_steps = passes("llama", "m", {"max_steps": 5, "batch_size": 4}, examples=100)
    by_epochs = passes("llama", "m", {"max_steps": 500, "epochs": 2, "batch_size": 4}, examples=10)

    assert by_steps.through_training == Decimal("0.2")
    assert by_epochs.through_training == 2


@pytest.mark.parametrize(("hyperparameters", "examples"), [({"rank": -1}, 10), ({}, 0)])
def test_what_the_local_trainer_would_refuse_has_no_passes(hyperparameters, examples):
    assert passes("llama", "m", hyperparameters, examples=examples).through_training is None


@pytest.mark.parametrize(
    ("provider", "hyperparameters", "told"),
    [
        ("openai", {"n_epochs": -3}, "-3 epochs cannot be"),
        ("openai", {"n_epochs": 0}, "0 epochs cannot be"),
        ("mistral", {"epochs": "three"}, "three epochs cannot be"),
        ("mistral", {"epochs": float("nan")}, "nan epochs cannot be"),
        ("together", {"n_epochs": 1, "n_evals": -5}, "n_evals=-5 cannot be"),
    ],
)
def test_a_number_that_cannot_be_makes_the_cost_unknown_and_never_less_than_nothing(
    provider, hyperparameters, told
):
    found = passes(provider, "m", hyperparameters, examples=500)

    assert found.through_training is None
    assert told in found.told


def test_a_provider_that_wants_its_numbers_as_text_gets_them():
    assert passes("bedrock", "meta.llama3", {"epochCount": "3"}, examples=9).through_training == 3
