"""Sessions of the dashboard: a signed cookie that names who signed in. The credentials themselves are not in it.

A session of an API key is good as long as its key is; one of a token ends with the token.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway_tuning.access.permissions import Role
from gateway_tuning.access.principal import Principal, PrincipalKind
from gateway_tuning.access.recent import Recent
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.settings import Settings

COOKIE = "gateway_tuning_session"
_SHORTEST_KEY = 32  # bytes
_LONGEST_COOKIE = 3000
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    principal: Principal
    expires_at: datetime

    @property
    def key_id(self) -> str | None:
        """Of the API key that opened it; None for a token."""
        return self.principal.id.removeprefix("key:") if self.principal.kind is PrincipalKind.KEY else None


class Sessions:
    """Opens, signs and reads sessions. Those that were signed out are remembered in this process alone."""

    def __init__(self, key: bytes, *, hours: float) -> None:
        self._key = key
        self._lifetime = timedelta(hours=hours)
        self._ended: Recent[str, bool] = Recent(self._lifetime.total_seconds(), _REMEMBERED)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Sessions":
        """Raises ConfigurationError for a key that could be guessed. Without one, sessions end with this process."""
        given = settings.dashboard_session_key
        key = secrets.token_bytes(32) if given is None else given.get_secret_value().encode()
        if len(key) < _SHORTEST_KEY:
            raise ConfigurationError(
                f"GATEWAY_TUNING_DASHBOARD_SESSION_KEY has {len(key)} bytes; use {_SHORTEST_KEY} random bytes or more"
            )
        return cls(key, hours=settings.dashboard_session_hours)

    def open(self, principal: Principal, *, now: datetime, at_most_until: datetime | None = None) -> Session:
        until = now + self._lifetime
        return Session(secrets.token_hex(16), principal, min(until, at_most_until or until))

    def cookie(self, session: Session) -> str:
        principal = session.principal
        payload = {
            "id": session.id,
            "who": principal.id,
            "kind": principal.kind.value,
            "tenant": principal.tenant,
            "roles": sorted(role.value for role in principal.roles),
            "until": session.expires_at.timestamp(),
        }
        text = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
        return f"{text}.{self._signature('session', text)}"

    def read(self, cookie: str | None, *, now: datetime) -> Session | None:
        """None for a cookie that is missing, changed, expired or signed out."""
        text, _, signature = (cookie or "").partition(".")
        if len(text) > _LONGEST_COOKIE or not _same(signature, self._signature("session", text)):
            return None
        try:
            session = _session(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
        except (binascii.Error, ValueError, KeyError):  # of another version of this program
            return None
        return None if now >= session.expires_at or self._ended.get(session.id) else session

    def end(self, session: Session) -> None:
        self._ended.put(session.id, True)

    def form_token(self, session_id: str) -> str:
        """What a form of this session carries. Another site can neither read nor make it."""
        return self._signature("form", session_id)

    def is_form_token(self, session_id: str, given: str) -> bool:
        return _same(given, self.form_token(session_id))

    def _signature(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _session(payload: dict[str, Any]) -> Session:
    principal = Principal(
        id=payload["who"],
        tenant=payload["tenant"],
        roles=frozenset(Role(role) for role in payload["roles"]),
        kind=PrincipalKind(payload["kind"]),
    )
    return Session(payload["id"], principal, datetime.fromtimestamp(payload["until"], UTC))
