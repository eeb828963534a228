"""What other tools' scores mean. A number says nothing until its worst and best are known; nothing is clipped."""

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway_tuning.errors import ConfigurationError


class Scale(BaseModel):
    """Numbers run linearly from `worst` (-1) to `best` (1); `worst` may be the larger one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    worst: float | None = Field(None, allow_inf_nan=False)
    best: float | None = Field(None, allow_inf_nan=False)
    categories: dict[str, float] = Field({}, description="Satisfaction of each label, -1 to 1")

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if (self.worst is None) != (self.best is None):
            raise ValueError("give both worst and best")
        if self.worst is not None and self.worst == self.best:
            raise ValueError("worst and best must differ")
        if self.worst is None and not self.categories:
            raise ValueError("give worst and best, or categories")
        if not all(-1 <= value <= 1 for value in self.categories.values()):
            raise ValueError("categories lie between -1 and 1")
        return self


class Scales(BaseModel):
    """By the name of the score or metric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scores: dict[str, Scale] = {}

    def of(self, name: str) -> Scale | None:
        return self.scores.get(name)


def load_scales(path: Path) -> Scales:
    """YAML `name: {worst: 1, best: 5}`. Raises ConfigurationError, naming the place."""
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(f"Scales {path} cannot be read: {error}") from error
    try:
        return Scales(scores=document)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, detail['loc'][1:]))}: {detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors(include_url=False)
        )
        raise ConfigurationError(f"Scales {path}: {faults}") from error
