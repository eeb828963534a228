"""Whatever the space, what is drawn lies in it; what cannot be a space says what to change."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway_tuning.training.search.sampler import draw, points, propose
from gateway_tuning.training.search.space import SearchSpace
from tests.unit.training.search.conftest import make_plan, make_trial

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(1e-300, 1e300)


@st.composite
def ranges(draw, numbers):
    return sorted((draw(numbers), draw(numbers)))


def space_of(**parameter):
    return SearchSpace.model_validate({"parameters": [{"name": "x", **parameter}]})


@given(ranges(finite), st.integers(0, 10_000))
def test_a_continuous_value_lies_between_its_ends(ends, seed):
    low, high = ends

    value = draw(space_of(type="continuous", min=low, max=high), seed)["x"]

    assert low <= value <= high


@given(ranges(positive), st.integers(0, 10_000))
def test_a_continuous_value_on_a_log_scale_lies_between_its_ends(ends, seed):
    low, high = ends

    value = draw(space_of(type="continuous", min=low, max=high, log_scale=True), seed)["x"]

    assert low <= value <= high


@given(ranges(st.integers(-(2**53), 2**53)), st.integers(0, 10_000))
def test_a_discrete_value_is_a_whole_number_between_its_ends(ends, seed):
    low, high = ends

    value = draw(space_of(type="discrete", min=low, max=high), seed)["x"]

    assert type(value) is int
    assert low <= value <= high


@given(ranges(st.integers(1, 2**53)), st.integers(0, 10_000))
def test_a_discrete_value_on_a_log_scale_is_one_too(ends, seed):
    low, high = ends

    value = draw(space_of(type="discrete", min=low, max=high, log_scale=True), seed)["x"]

    assert type(value) is int
    assert low <= value <= high


options = st.lists(
    st.booleans() | st.integers() | st.floats(-9, 9) | st.text(max_size=5), min_size=1, max_size=6
)


@given(options, st.integers(0, 10_000))
def test_a_categorical_value_is_one_of_its_options_and_of_its_type(options, seed):
    assume(len({(type(option), option) for option in options}) == len(options))

    value = draw(space_of(type="categorical", options=options), seed)["x"]

    assert any(type(option) is type(value) and option == value for option in options)


def test_a_log_scale_gives_each_order_of_magnitude_its_share():
    space = space_of(type="continuous", min=1e-6, max=1e-2, log_scale=True)

    orders = [math.floor(math.log10(draw(space, seed)["x"])) for seed in range(2000)]

    assert all(400 < orders.count(order) < 600 for order in (-6, -5, -4, -3))


def test_a_linear_scale_gives_the_highest_order_of_magnitude_most():
    space = space_of(type="continuous", min=1e-6, max=1e-2)

    assert sum(draw(space, seed)["x"] > 1e-3 for seed in range(1000)) > 850


def test_both_ends_of_a_discrete_range_are_drawn():
    assert {draw(space_of(type="discrete", min=2, max=4), seed)["x"] for seed in range(60)} == {2, 3, 4}


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@settings(max_examples=25)
@given(
    rate=ranges(st.floats(1e-8, 1.0)),
    rank=ranges(st.integers(1, 64)),
    number=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_what_is_proposed_lies_in_the_space_whatever_came_before(sampler, rate, rank, number, seed):
    plan = make_plan(
        {"type": "continuous", "name": "rate", "min": rate[0], "max": rate[1], "log_scale": True},
        {"type": "discrete", "name": "rank", "min": rank[0], "max": rank[1]},
        {"type": "categorical", "name": "kind", "options": ["a", 1, True, 1.5]},
        sampler=sampler,
        seed=seed,
        startup_trials=2,
    )
    earlier = [make_trial(one, one / 7, hyperparameters=draw(plan.space, one)) for one in range(5)]
    found = propose(plan, number, earlier, defaults={})

    if found is not None:
        assert plan.space.point_of(found) == found


def test_the_same_trials_and_seed_give_the_same_point_and_another_seed_another():
    earlier = [make_trial(one, one / 7, hyperparameters={"rate": 10.0**-one}) for one in range(1, 6)]

    def ask(seed):
        return propose(make_plan(sampler="tpe", seed=seed), 6, earlier, defaults={})

    assert ask(1) == ask(1)
    assert ask(1) != ask(2)


def test_tpe_looks_more_where_it_was_good_than_chance_does():
    good = 1e-3

    def far(sampler):
        plan, trials = make_plan(sampler=sampler, startup_trials=8), []
        for number in range(40):
            point = propose(plan, number, trials, defaults={})
            distance = abs(math.log10(point["rate"] / good))
            trials.append(make_trial(number, distance, hyperparameters=point))
        return sum(trial.value for trial in trials[20:]) / 20

    assert far("tpe") < 0.75 * far("random")


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_no_point_is_proposed_twice_and_a_space_that_is_used_up_says_so(sampler):
    plan = make_plan(
        {"type": "discrete", "name": "n", "min": 1, "max": 3},
        {"type": "categorical", "name": "c", "options": ["a", "b"]},
        sampler=sampler,
    )
    trials = []
    while (point := propose(plan, len(trials), trials, defaults={})) is not None:
        trials.append(make_trial(len(trials), float(len(trials)), hyperparameters=point))

    found = [tuple(trial.hyperparameters.values()) for trial in trials]
    assert len(found) == len(set(found)) == plan.space.size == len(points(plan.space)) == 6


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_true_and_one_are_two_options(sampler):
    plan = make_plan({"type": "categorical", "name": "c", "options": [1, True, 1.0]}, sampler=sampler)
    trials = []
    while (point := propose(plan, len(trials), trials, defaults={})) is not None:
        trials.append(make_trial(len(trials), float(len(trials)), hyperparameters=point))

    assert {type(trial.hyperparameters["c"]) for trial in trials} == {int, bool, float}
    assert len(trials) == 3


def test_the_defaults_of_the_provider_are_not_proposed_again():
    plan = make_plan({"type": "discrete", "name": "n", "min": 1, "max": 2})

    assert propose(plan, 1, [make_trial(0, 1.0)], defaults={"n": 1, "other": 5}) == {"n": 2}


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        ({"type": "continuous", "min": 2.0, "max": 1.0}, "min 2.0 above max 1.0"),
        ({"type": "continuous", "min": 0.0, "max": 1.0, "log_scale": True}, "a min above 0"),
        ({"type": "continuous", "min": 0.0, "max": math.inf}, "finite"),
        ({"type": "discrete", "min": 1.5, "max": 4}, "integer"),
        ({"type": "discrete", "min": 0, "max": 4, "log_scale": True}, "a min above 0"),
        ({"type": "categorical", "options": []}, "at least 1"),
        ({"type": "categorical", "options": ["a", "a"]}, "twice"),
        ({"type": "lottery"}, "lottery"),
    ],
)
def test_what_is_no_space_says_why(parameter, told):
    with pytest.raises(ValidationError, match=told):
        space_of(**parameter)


def test_a_hyperparameter_stands_in_a_space_once():
    one = {"type": "discrete", "name": "n", "min": 1, "max": 2}

    with pytest.raises(ValidationError, match="n more than once"):
        SearchSpace.model_validate({"parameters": [one, one]})
