"""What one check found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, and something of it should be looked at
    FAULT = "fault"  # something does not work; also where it could not be told whether it does
    NOT_CONFIGURED = "not configured"


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy` is None where nothing is to be done. Neither text holds a secret."""

    check: str
    state: State
    told: str
    remedy: str | None = None


def ok(check: str, told: str) -> Finding:
    return Finding(check, State.OK, told)


def warning(check: str, told: str, remedy: str) -> Finding:
    return Finding(check, State.WARNING, told, remedy)


def fault(check: str, told: str, remedy: str) -> Finding:
    return Finding(check, State.FAULT, told, remedy)


def not_configured(check: str, told: str, remedy: str | None = None) -> Finding:
    return Finding(check, State.NOT_CONFIGURED, told, remedy)
