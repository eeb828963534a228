"""What may be tried: one range or choice a hyperparameter. The form of a flow parameter. Pure."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Option = bool | int | float | str
Name = Annotated[str, Field(min_length=1, max_length=60, description="The provider's name of it")]


class Continuous(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    type: Literal["continuous"] = "continuous"
    name: Name
    min: float
    max: float
    log_scale: bool = Field(False, description="Draw the order of magnitude, as suits a learning rate")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _require_range(self.name, self.min, self.max, log_scale=self.log_scale)
        return self

    @property
    def extremes(self) -> tuple[Option, ...]:
        return (self.min, self.max)

    def holds(self, value: Any) -> bool:
        return _is_number(value) and self.min <= value <= self.max


class Discrete(BaseModel):
    """Whole numbers, both ends included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["discrete"] = "discrete"
    name: Name
    min: int
    max: int
    log_scale: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _require_range(self.name, self.min, self.max, log_scale=self.log_scale)
        return self

    @property
    def extremes(self) -> tuple[Option, ...]:
        return (self.min, self.max)

    def holds(self, value: Any) -> bool:
        return _is_number(value) and value == int(value) and self.min <= value <= self.max


class Categorical(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    type: Literal["categorical"] = "categorical"
    name: Name
    options: tuple[Option, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_no_doubles(self) -> Self:
        if len({(type(option), option) for option in self.options}) < len(self.options):
            raise ValueError(f"{self.name} has an option twice; give each once")
        return self

    @property
    def extremes(self) -> tuple[Option, ...]:
        return self.options

    def holds(self, value: Any) -> bool:
        return any(type(option) is type(value) and option == value for option in self.options)


Parameter = Annotated[Continuous | Discrete | Categorical, Field(discriminator="type")]


class SearchSpace(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: tuple[Parameter, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        names = [parameter.name for parameter in self.parameters]
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            raise ValueError(
                f"The space has {', '.join(doubles)} more than once; give each hyperparameter once"
            )
        return self

    @property
    def size(self) -> int | None:
        """How many points it has; None where it is continuous."""
        points = 1
        for parameter in self.parameters:
            if isinstance(parameter, Continuous):
                if parameter.min < parameter.max:
                    return None
            elif isinstance(parameter, Discrete):
                points *= parameter.max - parameter.min + 1
            else:
                points *= len(parameter.options)
        return points

    def point_of(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """The part of the hyperparameters that is searched; None where it lies outside, or is not said."""
        point = {
            parameter.name: hyperparameters[parameter.name]
            for parameter in self.parameters
            if parameter.name in hyperparameters and parameter.holds(hyperparameters[parameter.name])
        }
        return point if len(point) == len(self.parameters) else None


def _require_range(name: str, least: float, most: float, *, log_scale: bool) -> None:
    if least > most:
        raise ValueError(f"{name} has min {least} above max {most}; swap them")
    if log_scale and least <= 0:
        raise ValueError(f"{name} has log_scale and min {least}; a logarithm needs a min above 0")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
