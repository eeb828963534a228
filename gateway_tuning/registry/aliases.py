"""What an alias is called, and how it moved. Pure.

`stable` is the alias of the default environment, and is the same as `production/stable`; others say theirs:
`staging/candidate`.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from gateway_tuning.errors import ConfigurationError, ConflictError
from gateway_tuning.registry.model_version import STABLE

DEFAULT_ENVIRONMENT = "production"
_LONGEST = 18  # of each part: the table's column holds 40
_PART = re.compile(r"[a-z][a-z0-9_]*(-[a-z0-9_]+)*")
_RESERVED = re.compile(r"latest|v\d+")  # MLflow understands these by itself


class Unchecked(Enum):
    """Whoever moves an alias did not say what it should name before."""

    UNCHECKED = "unchecked"


UNCHECKED: Final = Unchecked.UNCHECKED


@dataclass(frozen=True, slots=True)
class AliasName:
    environment: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "AliasName":
        """Raises ConfigurationError."""
        environment, slash, name = text.rpartition("/")
        environment = environment if slash else DEFAULT_ENVIRONMENT
        for part in (environment, name):
            if len(part) > _LONGEST or not _PART.fullmatch(part):
                raise ConfigurationError(
                    f"{text!r} is no alias: write NAME or ENVIRONMENT/NAME, each at most {_LONGEST} of "
                    "a-z, 0-9, _ and single hyphens, beginning with a letter"
                )
        if _RESERVED.fullmatch(name):
            raise ConfigurationError(f"{text!r} is no alias: {name!r} means a version; choose another name")
        return cls(environment, name)

    @property
    def deploys(self) -> bool:
        """Whether the version it names serves users."""
        return self.name == STABLE

    def __str__(self) -> str:
        return self.name if self.environment == DEFAULT_ENVIRONMENT else f"{self.environment}/{self.name}"


def is_alias(text: str) -> bool:
    try:
        return str(AliasName.parse(text)) == text
    except ConfigurationError:
        return False


@dataclass(frozen=True, slots=True)
class AliasChange:
    """`version_id` is None where the alias was removed, `by` where nobody said who moved it."""

    model: str
    alias: str
    version_id: str | None
    reason: str
    by: str | None
    at: datetime


def require_expected(model: str, alias: str, current: str | None, expected: str | Unchecked | None) -> None:
    """Raises ConflictError when the alias names something else than whoever moves it believes."""
    if expected is not UNCHECKED and current != expected:
        raise ConflictError(
            f"{model} {alias} names {current or 'nothing'}, not {expected or 'nothing'}; "
            "nothing was changed, look again"
        )
