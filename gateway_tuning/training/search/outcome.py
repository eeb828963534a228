"""What a search found: the best trial, and whether it beats the default hyperparameters. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from gateway_tuning.training.search.plan import Objective
from gateway_tuning.training.search.trial import Role, Search, Trial, TrialState

LEVEL = 0.95
_FEWEST_PAIRS = 2


class Verdict(StrEnum):
    BEATEN = "beaten"  # in training with other seeds, by more than their noise
    BEATEN_ONCE = "beaten once"  # in one run each; the noise is not known
    WITHIN_NOISE = "within noise"
    NOT_BEATEN = "not beaten"
    UNKNOWN = "unknown"  # there is nothing to compare

    @property
    def is_gain(self) -> bool:
        return self in {Verdict.BEATEN, Verdict.BEATEN_ONCE}


@dataclass(frozen=True, slots=True)
class Outcome:
    """`gain` is how much better the best is than the default, in the metric's unit.

    Where both were trained with other seeds it is the mean over these, and `low` to `high` its interval.
    """

    verdict: Verdict
    best: Trial | None
    default: Trial | None
    gain: float | None
    told: str
    low: float | None = None
    high: float | None = None


def best_of(objective: Objective, trials: Sequence[Trial]) -> Trial | None:
    """Of equal ones the earliest, and so the default before any other."""
    best: Trial | None = None
    for trial in trials:
        if _counts(trial) and (best is None or objective.better(_value(trial), _value(best))):
            best = trial
    return best


def outcome(objective: Objective, trials: Sequence[Trial]) -> Outcome:
    best = best_of(objective, trials)
    default = next((trial for trial in trials if trial.role is Role.DEFAULT and _counts(trial)), None)
    if best is None or default is None:
        what = "no trial" if best is None else "the default hyperparameters"
        told = f"Not known whether the default is beaten: {what} came to a {_name(objective)}"
        return Outcome(Verdict.UNKNOWN, best, default, None, told)
    gain = _gain(objective, default, best)
    if best.number == default.number:
        others = sum(_counts(trial) for trial in trials) - 1
        value = f"its {_name(objective)} of {_value(default):.4f}"
        told = (
            f"The default is not beaten: none of {others} other trials is better than {value}"
            if others
            else f"The default stands alone: no other trial came to a value beside {value}"
        )
        verdict = Verdict.NOT_BEATEN if others else Verdict.UNKNOWN
        return Outcome(verdict, best, default, 0.0 if others else None, told)
    figures = f"{_name(objective)} {_value(best):.4f} of trial {best.number} against {_value(default):.4f} of the default"
    gains = _confirmed(objective, trials)
    if len(gains) < _FEWEST_PAIRS:
        why = (
            "search with confirm of 3 or more to tell"
            if all(trial.role.searches for trial in trials)
            else f"of the runs with other seeds {len(gains)} of each came to a value to compare, too few to tell"
        )
        told = (
            f"The default is beaten by {gain:.4f} in one run each ({figures}); how much of that is noise is not known: "
            f"{why}"
        )
        return Outcome(Verdict.BEATEN_ONCE, best, default, gain, told)
    return _held_against_noise(best, default, gains, figures)


def _held_against_noise(best: Trial, default: Trial, gains: Sequence[float], figures: str) -> Outcome:
    """By Student's t on the pairs of equal seed. The runs that chose the best are no part of it: they flatter it."""
    mean, low, high = interval(gains)
    seeds = (
        f"over {len(gains)} other seeds the gain is {mean:+.4f} ({low:+.4f} to {high:+.4f} at {LEVEL:.0%})"
    )
    if low > 0:
        verdict, told = Verdict.BEATEN, f"The default is beaten: {seeds}; in the search, {figures}"
    elif high < 0:
        verdict, told = Verdict.NOT_BEATEN, f"The default is not beaten: {seeds}; in the search, {figures}"
    else:
        verdict, told = (
            Verdict.WITHIN_NOISE,
            f"The default is not shown to be beaten: {seeds}; in the search, {figures}",
        )
    return Outcome(verdict, best, default, mean, told, low, high)


def interval(gains: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and the ends of its t interval."""
    from scipy import stats

    mean = statistics.fmean(gains)
    width = (
        float(stats.t.ppf(0.5 + LEVEL / 2, len(gains) - 1)) * statistics.stdev(gains) / math.sqrt(len(gains))
    )
    return mean, mean - width, mean + width


def result_of(search: Search, trials: Sequence[Trial]) -> dict[str, Any]:
    """As stored and shown. `training` is the plan to train by: the best trial's where it is a gain, else the default's."""
    found = outcome(search.plan.objective, trials)
    chosen = found.best if found.best is not None and found.verdict.is_gain else None
    training = (
        search.plan.training if chosen is None else search.training(chosen.hyperparameters, chosen.seed)
    )
    return {
        "verdict": found.verdict.value,
        "told": found.told,
        "gain": found.gain,
        "low": found.low,
        "high": found.high,
        "best": None if found.best is None else _short(found.best),
        "default": None if found.default is None else _short(found.default),
        "training": training.model_dump(mode="json"),
    }


def _short(trial: Trial) -> dict[str, Any]:
    kept = ("number", "hyperparameters", "seed", "job_key", "value")
    return {name: value for name, value in asdict(trial).items() if name in kept}


def _counts(trial: Trial) -> bool:
    return trial.role.searches and trial.state is TrialState.COMPLETE and trial.value is not None


def _value(trial: Trial) -> float:
    if trial.value is None:
        raise ValueError(f"Trial {trial.number} has no value")
    return trial.value


def _gain(objective: Objective, default: Trial, best: Trial) -> float:
    difference = _value(best) - _value(default)
    return -difference if objective.minimized else difference


def _confirmed(objective: Objective, trials: Sequence[Trial]) -> list[float]:
    ended = [trial for trial in trials if trial.state is TrialState.COMPLETE and trial.value is not None]
    defaults = {trial.seed: trial for trial in ended if trial.role is Role.CONFIRM_DEFAULT}
    bests = [trial for trial in ended if trial.role is Role.CONFIRM_BEST and trial.seed in defaults]
    return [_gain(objective, defaults[trial.seed], trial) for trial in bests]


def _name(objective: Objective) -> str:
    return objective.metric.replace("_", " ")
