"""Where to look next. The same trials and seed give the same answer, whichever process asks."""

import itertools
import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from gateway_tuning.errors import missing_extra
from gateway_tuning.training.search.plan import SearchPlan
from gateway_tuning.training.search.space import Categorical, Continuous, Parameter, SearchSpace
from gateway_tuning.training.search.trial import Trial, TrialState

_DRAWS = 8
_LISTED = 10_000


def propose(
    plan: SearchPlan, number: int, trials: Sequence[Trial], *, defaults: Mapping[str, Any]
) -> dict[str, Any] | None:
    """A point of the space for the trial of this number, that no trial has; None when there is none left.

    `defaults` are what the provider takes for hyperparameters that a trial does not say.

    Raises:
        MissingExtraError: the sampler is TPE, and Optuna is not installed.
    """
    spoken = [replace(trial, hyperparameters={**defaults, **trial.hyperparameters}) for trial in trials]
    known = (plan.space.point_of(trial.hyperparameters) for trial in spoken)
    tried = {_place(plan.space, point) for point in known if point is not None}
    size = plan.space.size
    left = None
    if size is not None and size <= _LISTED:
        left = [point for point in points(plan.space) if _place(plan.space, point) not in tried]
        if not left:
            return None
    for attempt in range(_DRAWS):
        seed = _seed(plan.seed, number, attempt)
        point = draw(plan.space, seed) if plan.sampler == "random" else _tpe(plan, spoken, seed)
        if _place(plan.space, point) not in tried:
            return point
    return random.Random(_seed(plan.seed, number, _DRAWS)).choice(left) if left else None  # noqa: S311 - no secret


def draw(space: SearchSpace, seed: int) -> dict[str, Any]:
    """Uniform, each hyperparameter for itself; on a log scale its logarithm is."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return {parameter.name: _value(parameter, chance) for parameter in space.parameters}


def points(space: SearchSpace) -> list[dict[str, Any]]:
    """All of a space that has a `size`."""
    values = []
    for parameter in space.parameters:
        if isinstance(parameter, Categorical):
            values.append(list(parameter.options))
        elif isinstance(parameter, Continuous):
            values.append([parameter.min])
        else:
            values.append(list(range(parameter.min, parameter.max + 1)))
    names = [parameter.name for parameter in space.parameters]
    return [dict(zip(names, point, strict=True)) for point in itertools.product(*values)]


def _value(parameter: Parameter, chance: random.Random) -> Any:
    if isinstance(parameter, Categorical):
        return chance.choice(parameter.options)
    if isinstance(parameter, Continuous):
        if parameter.log_scale:
            low, high = math.log(parameter.min), math.log(parameter.max)
            drawn = math.exp(low + chance.random() * (high - low))
        else:
            share = chance.random()  # this form does not overflow where max - min would
            drawn = parameter.min * (1 - share) + parameter.max * share
        return min(max(drawn, parameter.min), parameter.max)
    if parameter.log_scale:
        low, high = math.log(parameter.min), math.log(parameter.max + 1)
        return min(max(int(math.exp(low + chance.random() * (high - low))), parameter.min), parameter.max)
    return chance.randint(parameter.min, parameter.max)


def _tpe(plan: SearchPlan, trials: Sequence[Trial], seed: int) -> dict[str, Any]:
    """Optuna's, on a study that is made anew of the trials: the store has the truth, and any process goes on."""
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("optuna", "search") from error
    quiet = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of constant_liar
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=plan.startup_trials, constant_liar=plan.parallel > 1
            )
        direction = "minimize" if plan.objective.minimized else "maximize"
        study = optuna.create_study(direction=direction, sampler=sampler)
        distributions = {parameter.name: _distribution(parameter) for parameter in plan.space.parameters}
        for trial in trials:
            if (known := _known(plan, trial, distributions)) is not None:
                study.add_trial(known)
        return _plain(plan.space, study.ask(distributions).params)
    finally:
        optuna.logging.set_verbosity(quiet)


def _known(plan: SearchPlan, trial: Trial, distributions: dict[str, Any]) -> Any:
    """What TPE learns from. A failed trial tells it nothing; a running one keeps it from the same place."""
    from optuna.trial import TrialState as State
    from optuna.trial import create_trial

    point = plan.space.point_of(trial.hyperparameters)
    states = {
        TrialState.COMPLETE: State.COMPLETE,
        TrialState.PRUNED: State.PRUNED,
        TrialState.RUNNING: State.RUNNING,
    }
    if point is None or not trial.role.searches or trial.state not in states:
        return None
    return create_trial(
        state=states[trial.state],
        params={name: _index(plan.space, name, value) for name, value in point.items()},
        distributions=distributions,
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        intermediate_values=dict(trial.reports) if trial.state is TrialState.PRUNED else {},
    )


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Categorical):
        # By place, see `_place`.
        return CategoricalDistribution(tuple(range(len(parameter.options))))
    if isinstance(parameter, Continuous):
        return FloatDistribution(parameter.min, parameter.max, log=parameter.log_scale)
    return IntDistribution(parameter.min, parameter.max, log=parameter.log_scale)


def _index(space: SearchSpace, name: str, value: Any) -> Any:
    parameter = next(found for found in space.parameters if found.name == name)
    if not isinstance(parameter, Categorical):
        return value
    return next(
        place
        for place, option in enumerate(parameter.options)
        if type(option) is type(value) and option == value
    )


def _place(space: SearchSpace, point: Mapping[str, Any]) -> tuple[Any, ...]:
    """Options by their place: == holds true and 1 for one."""
    return tuple(_index(space, parameter.name, point[parameter.name]) for parameter in space.parameters)


def _plain(space: SearchSpace, params: dict[str, Any]) -> dict[str, Any]:
    point = {}
    for parameter in space.parameters:
        value = params[parameter.name]
        point[parameter.name] = parameter.options[value] if isinstance(parameter, Categorical) else value
    return point


def _seed(seed: int, number: int, attempt: int) -> int:
    return int.from_bytes(sha256(f"{seed}/{number}/{attempt}".encode()).digest()[:4])
