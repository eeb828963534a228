"""Whether two principals are one person: a key acts for whoever made it, and for whoever made that one's key."""

import sqlalchemy as sa

from gateway_tuning.storage.tables import api_keys

_LONGEST = 20  # keys made by keys


def same_person(connection: sa.Connection, one: str, other: str) -> bool:
    return one in _ancestry(connection, other) or other in _ancestry(connection, one)


def _ancestry(connection: sa.Connection, principal: str) -> list[str]:
    """The principal and whoever made its key, and theirs."""
    found = [principal]
    while principal.startswith("key:") and len(found) < _LONGEST:
        made_by = sa.select(api_keys.c.created_by).where(api_keys.c.id == principal.removeprefix("key:"))
        principal = connection.execute(made_by).scalar_one_or_none() or ""
        if principal:
            found.append(principal)
    return found
