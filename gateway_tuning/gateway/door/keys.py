"""Virtual keys: `gk_<id>_<secret>`. The store holds the secret's hash alone; 256 random bits need no salt.

A key is never changed, only revoked, and never removed: so two counts tell whether anything is new.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.access.audit import AuditEvent, AuditLog
from gateway_tuning.access.principal import tenant_name
from gateway_tuning.errors import ConfigurationError, NotFoundError
from gateway_tuning.gateway.door.names import require_models
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import gateway_keys

KEY = re.compile(r"gk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
PREFIX = "gk_"
MOST_REQUESTS = 100_000  # a minute; the exact window remembers each of them
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """`models` is None where it opens every model of its tenant; a limit is None where there is none."""

    id: str
    tenant: str
    name: str
    models: frozenset[str] | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class GatewayKeyStore:
    """Creates and revokes keys, each with its audit entry in the same transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._audit = AuditLog(engine)

    def create(
        self,
        tenant: str,
        name: str,
        *,
        by: str,
        now: datetime,
        models: Sequence[str] = (),
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[GatewayKey, str]:
        """The key's record and the key itself, which nobody can ask for again. No `models` means all of the tenant.

        Raises ConfigurationError, and NotFoundError for a model that the tenant does not have.
        """
        _check(name, requests_per_minute, tokens_per_minute)
        if expires_at is not None and expires_at <= now:
            raise ConfigurationError(
                f"The gateway key {name!r} would expire before it exists; choose a later time"
            )
        key = GatewayKey(
            id=secrets.token_hex(6),
            tenant=tenant_name(tenant),
            name=name,
            models=frozenset(models) or None,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            created_by=by,
            created_at=now,
            expires_at=expires_at,
        )
        secret = secrets.token_urlsafe(32)
        listed = sorted(key.models) if key.models is not None else None
        row = {
            "id": key.id,
            "tenant": key.tenant,
            "name": name,
            "secret_sha256": hashlib.sha256(secret.encode()).hexdigest(),
            "models": sa.null() if listed is None else listed,
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "created_by": by,
            "created_at": now,
            "expires_at": expires_at,
        }
        detail = {
            "models": listed,
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        }
        event = AuditEvent(key.tenant, by, "gateway-key.create", key.id, detail=detail)
        with self._engine.begin() as connection:
            require_models(connection, models, tenant=key.tenant)
            connection.execute(gateway_keys.insert().values(row))
            self._audit.append_in(connection, event, now=now)
        return key, f"{PREFIX}{key.id}_{secret}"

    def revoke(self, key_id: str, *, by: str, now: datetime) -> GatewayKey:
        """Revoked twice is fine. Raises NotFoundError."""
        this = gateway_keys.c.id == key_id
        with self._engine.begin() as connection:
            connection.execute(
                gateway_keys.update().where(this, gateway_keys.c.revoked_at.is_(None)).values(revoked_at=now)
            )
            row = connection.execute(sa.select(gateway_keys).where(this)).one_or_none()
            if row is None:
                raise NotFoundError(
                    f"No gateway key {key_id[:40]}; `gateway-tuning gateway keys list` shows all"
                )
            key = gateway_key(row)
            self._audit.append_in(
                connection, AuditEvent(key.tenant, by, "gateway-key.revoke", key.id), now=now
            )
        return key

    def all(self, tenant: str | None = None) -> list[GatewayKey]:
        """Newest first."""
        query = sa.select(gateway_keys).order_by(gateway_keys.c.created_at.desc(), gateway_keys.c.id)
        if tenant is not None:
            query = query.where(gateway_keys.c.tenant == tenant)
        with reading(self._engine) as connection:
            return [gateway_key(row) for row in connection.execute(query)]


def gateway_key(row: Any) -> GatewayKey:
    return GatewayKey(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        models=None if row.models is None else frozenset(row.models),
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _check(name: str, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise ConfigurationError("Give the gateway key a name of 1 to 100 characters that tells who uses it")
    if requests_per_minute is not None and not 1 <= requests_per_minute <= MOST_REQUESTS:
        raise ConfigurationError(
            f"The gateway key {name!r} may have 1 to {MOST_REQUESTS} requests a minute; leave the limit out for none"
        )
    if tokens_per_minute is not None and not 1 <= tokens_per_minute < 1 << 31:
        raise ConfigurationError(
            f"The gateway key {name!r} may have 1 to {(1 << 31) - 1} tokens a minute; leave the limit out for none"
        )
