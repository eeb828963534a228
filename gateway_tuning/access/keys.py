"""API keys: `gt_<id>_<secret>`. The store holds the secret's hash alone.

SHA-256 without salt is enough: a secret is 256 random bits, so there is nothing to guess.
A key that was found good is good for `RECENT_S` more seconds in this process: a revoked key dies within that time.
"""

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from gateway_tuning.access.permissions import Role
from gateway_tuning.access.principal import Principal, PrincipalKind, Refused, tenant_name
from gateway_tuning.access.recent import Recent
from gateway_tuning.errors import ConfigurationError, NotFoundError
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import api_keys

RECENT_S = 5.0
_REMEMBERED = 10_000
_LONGEST_NAME = 100
_USE_NOTED_EVERY = timedelta(minutes=1)
_KEY = re.compile(r"gt_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    tenant: str
    name: str
    role: Role
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class _Verified:
    secret_sha256: bytes
    expires_at: datetime | None
    principal: Principal


AlsoDo = Callable[[sa.Connection, ApiKey], object]


def _nothing(_connection: sa.Connection, _key: ApiKey) -> None:
    """For a caller who has nothing to add."""


class KeyStore:
    def __init__(self, engine: sa.Engine, *, recent_s: float = RECENT_S) -> None:
        self._engine = engine
        self._verified: Recent[str, _Verified] = Recent(recent_s, _REMEMBERED)
        self._refused: Recent[str, Refused] = Recent(recent_s, _REMEMBERED)
        # One thread notes uses, so that no request waits for a write.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="key-use")
        self._noted: Recent[str, bool] = Recent(_USE_NOTED_EVERY.total_seconds(), _REMEMBERED)

    def create(
        self,
        tenant: str,
        name: str,
        role: Role,
        *,
        by: str,
        now: datetime,
        expires_at: datetime | None = None,
        also: AlsoDo = _nothing,
    ) -> tuple[ApiKey, str]:
        """The key's record and the key itself, which nobody can ask for again.

        `also` is done in the same transaction: no key without its audit entry.
        """
        key, text, row = _new_key(tenant, name, role, by=by, now=now, expires_at=expires_at)
        with self._engine.begin() as connection:
            connection.execute(api_keys.insert().values(row))
            also(connection, key)
        return key, text

    def revoke(
        self, key_id: str, *, now: datetime, tenant: str | None = None, also: AlsoDo = _nothing
    ) -> ApiKey:
        """Revoked twice is fine. Raises NotFoundError, also for a key of another tenant."""
        mine = sa.and_(api_keys.c.id == key_id, *([api_keys.c.tenant == tenant] if tenant else []))
        with self._engine.begin() as connection:
            connection.execute(
                api_keys.update().where(mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=now)
            )
            row = connection.execute(sa.select(api_keys).where(mine)).one_or_none()
            if row is None:
                raise NotFoundError(f"No API key {key_id[:40]}; list the keys to see all")
            key = _api_key(row)
            also(connection, key)
        self._verified.forget(key_id)
        return key

    def get(self, key_id: str, *, tenant: str) -> ApiKey:
        query = sa.select(api_keys).where(api_keys.c.id == key_id, api_keys.c.tenant == tenant)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"No API key {key_id[:40]}; list the keys to see all")
        return _api_key(row)

    def all(
        self,
        tenant: str | None = None,
        *,
        limit: int | None = None,
        before: tuple[datetime, str] | None = None,
    ) -> list[ApiKey]:
        """Newest first; `before` is time and id of the last one of the page before."""
        query = sa.select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id.desc()).limit(limit)
        if tenant is not None:
            query = query.where(api_keys.c.tenant == tenant)
        if before is not None:
            at, id_ = before
            earlier = sa.and_(api_keys.c.created_at == at, api_keys.c.id < id_)
            query = query.where(sa.or_(api_keys.c.created_at < at, earlier))
        with reading(self._engine) as connection:
            return [_api_key(row) for row in connection.execute(query)]

    def recent(self, text: str, now: datetime) -> Principal | Refused | None:
        """What was found out a few seconds ago, without asking the store; None: ask it."""
        parsed = _KEY.fullmatch(text)
        if parsed is None:
            return Refused("this is no API key")
        key_id, secret = parsed.groups()
        found = self._verified.get(key_id)
        if found is None:
            return self._refused.get(key_id)
        if found.expires_at is not None and now >= found.expires_at:
            return Refused(f"key {key_id} has expired")
        if not hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), found.secret_sha256):
            return Refused(f"key {key_id} came with another secret")
        return found.principal

    def knows(self, text: str) -> bool:
        """Whether this very key was good when it was last looked up."""
        parsed = _KEY.fullmatch(text)
        found = self._verified.get_stale(parsed[1]) if parsed else None
        if parsed is None or found is None:
            return False
        return hmac.compare_digest(hashlib.sha256(parsed[2].encode()).digest(), found.secret_sha256)

    def verify(self, text: str, now: datetime) -> Principal | Refused:
        """Ask the store."""
        parsed = _KEY.fullmatch(text)
        if parsed is None:
            return Refused("this is no API key")
        key_id, secret = parsed.groups()
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
        given = hashlib.sha256(secret.encode()).digest()
        expected = bytes.fromhex(row.secret_sha256) if row is not None else bytes(len(given))
        matches = hmac.compare_digest(given, expected)
        key = _api_key(row) if row is not None else None
        if key is None or not key.is_valid(now):
            self._verified.forget(key_id)
            refused = Refused(f"key {key_id} is {'unknown' if key is None else 'revoked or expired'}")
            self._refused.put(key_id, refused)
            return refused
        principal = Principal(f"key:{key.id}", key.tenant, frozenset({key.role}), PrincipalKind.KEY)
        self._verified.put(key_id, _Verified(expected, key.expires_at, principal))
        if not matches:
            return Refused(f"key {key_id} came with another secret")
        self._note_use(key, now)
        return principal

    def close(self) -> None:
        self._writer.shutdown(wait=True)

    def _note_use(self, key: ApiKey, now: datetime) -> None:
        if self._noted.get(key.id) or (key.last_used_at and now - key.last_used_at < _USE_NOTED_EVERY):
            return
        self._noted.put(key.id, True)
        self._writer.submit(self._write_use, key.id, now)

    def _write_use(self, key_id: str, now: datetime) -> None:
        unused = sa.or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at <= now - _USE_NOTED_EVERY)
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    api_keys.update().where(api_keys.c.id == key_id, unused).values(last_used_at=now)
                )
        except sa.exc.SQLAlchemyError as error:  # the next use is noted again
            _log.warning("the use of key %s was not noted: %s", key_id, type(error).__name__)


def _new_key(
    tenant: str, name: str, role: Role, *, by: str, now: datetime, expires_at: datetime | None
) -> tuple[ApiKey, str, dict[str, Any]]:
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise ConfigurationError("Give the API key a name of 1 to 100 characters that tells who uses it")
    if expires_at is not None and expires_at <= now:
        raise ConfigurationError(f"The API key {name!r} would expire before it exists; choose a later time")
    key = ApiKey(secrets.token_hex(6), tenant_name(tenant), name, role, by, now, expires_at)
    secret = secrets.token_urlsafe(32)
    row = {
        "id": key.id,
        "tenant": key.tenant,
        "name": name,
        "role": str(role),
        "secret_sha256": hashlib.sha256(secret.encode()).hexdigest(),
        "created_by": by,
        "created_at": now,
        "expires_at": expires_at,
    }
    return key, f"gt_{key.id}_{secret}", row


def _api_key(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        role=Role(row.role),
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
