"""Whoever calls: an application with an API key, or a person with a token."""

import re
from dataclasses import dataclass
from enum import StrEnum

from gateway_tuning.access.permissions import Permission, Role, permitted
from gateway_tuning.errors import ConfigurationError

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class PrincipalKind(StrEnum):
    KEY = "key"
    USER = "user"
    COMMAND_LINE = "cli"


@dataclass(frozen=True, slots=True)
class Principal:
    """`id` is `key:<key id>`, `user:<subject of the token>` or `cli:<account>`: never one for two callers."""

    id: str
    tenant: str
    roles: frozenset[Role]
    kind: PrincipalKind

    def may(self, permission: Permission) -> bool:
        return permitted(self.roles, permission)


@dataclass(frozen=True, slots=True)
class Refused:
    """Credentials that open nothing. `reason` is for the operator's log; the caller is not told.

    `unavailable`: they could not be checked; trying again may help.
    """

    reason: str
    unavailable: bool = False


def tenant_name(name: str) -> str:
    """The same name. Raises ConfigurationError for one that could not stand in a path or a log line."""
    if not TENANT.fullmatch(name):
        raise ConfigurationError(
            f"{name[:100]!r} is no tenant name: use 1 to 100 letters, digits, dots, dashes and underscores"
        )
    return name
