"""JSON Web Tokens of one issuer. The algorithm follows from our key, never from what the token says of itself."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt

from gateway_tuning.access.jwks import KeySet, KeysUnavailableError
from gateway_tuning.access.permissions import Role
from gateway_tuning.access.principal import TENANT, Principal, PrincipalKind, Refused
from gateway_tuning.access.recent import Recent
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.settings import Settings

SHORTEST_SECRET = 32  # bytes
_LEEWAY_S = 30
_LONGEST_TOKEN = 8192
_LONGEST_SUBJECT = 190
_REQUIRED = ["exp", "iat", "nbf", "iss", "aud", "sub", "jti", "tenant"]
# A token that brings its own key, or tells where one lies, is an attack or a mistake.
_FORBIDDEN_HEADERS = {"jku", "jwk", "x5u", "x5c", "crit"}
_RECENT_S = 5.0
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Verified:
    expires_at: float
    principal: Principal


class TokenVerifier:
    """Give it either a secret (HS256) or the issuer's key set (EdDSA, ES256, RS256)."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        secret: bytes | None = None,
        keys: KeySet | None = None,
        max_lifetime_s: int = 3600,
    ) -> None:
        if (secret is None) == (keys is None):
            raise ConfigurationError(
                "Tokens need GATEWAY_TUNING_JWT_SECRET or GATEWAY_TUNING_JWT_JWKS, not both"
            )
        if secret is not None and len(secret) < SHORTEST_SECRET:
            raise ConfigurationError(
                f"GATEWAY_TUNING_JWT_SECRET has {len(secret)} bytes; use {SHORTEST_SECRET} random bytes or more"
            )
        self._issuer = issuer
        self._audience = audience
        self._secret = secret
        self._keys = keys
        self._max_lifetime_s = max_lifetime_s
        self._recent: Recent[bytes, _Verified] = Recent(_RECENT_S, _REMEMBERED)

    @classmethod
    def from_settings(cls, settings: Settings) -> "TokenVerifier | None":
        """None when nothing is set. Raises ConfigurationError when it is set by half, or weakly."""
        secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret is not None else None
        source, issuer, audience = settings.jwt_jwks, settings.jwt_issuer, settings.jwt_audience
        if secret is None and source is None and issuer is None and audience is None:
            return None
        if not issuer or not audience:
            raise ConfigurationError(
                "Tokens need GATEWAY_TUNING_JWT_ISSUER and GATEWAY_TUNING_JWT_AUDIENCE; set both, or none of GATEWAY_TUNING_JWT_*"
            )
        return cls(
            issuer=issuer,
            audience=audience,
            secret=secret.encode() if secret is not None else None,
            keys=KeySet(source) if source is not None else None,
            max_lifetime_s=settings.jwt_max_lifetime_s,
        )

    def recent(self, text: str, now: datetime) -> Principal | None:
        """Whom this very token named a few seconds ago."""
        found = self._recent.get(hashlib.sha256(text.encode()).digest())
        if found is None or now.timestamp() >= found.expires_at:
            return None
        return found.principal

    def knows(self, text: str) -> bool:
        """Whether this very token was good when it was last checked."""
        return self._recent.get_stale(hashlib.sha256(text.encode()).digest()) is not None

    def verify(self, text: str) -> Principal | Refused:
        """May read the issuer's keys from where they lie."""
        if len(text) > _LONGEST_TOKEN:
            return Refused("the token is longer than any of ours")
        try:
            header = jwt.get_unverified_header(text)
            if _FORBIDDEN_HEADERS & set(header):
                return Refused(f"the token's header holds {sorted(_FORBIDDEN_HEADERS & set(header))}")
            claims = self._claims(text, header)
        except KeysUnavailableError as error:
            return Refused(str(error), unavailable=True)
        except jwt.PyJWTError as error:
            return Refused(f"{type(error).__name__}: {error}")
        principal = self._principal(claims)
        if isinstance(principal, Principal):
            self._recent.put(
                hashlib.sha256(text.encode()).digest(), _Verified(float(claims["exp"]), principal)
            )
        return principal

    def _claims(self, text: str, header: dict[str, Any]) -> dict[str, Any]:
        key: Any = self._secret
        algorithm = "HS256"
        if self._keys is not None:
            key, algorithm = self._keys.get(header.get("kid"))
        claims: dict[str, Any] = jwt.decode(
            text,
            key,
            algorithms=[algorithm],
            issuer=self._issuer,
            audience=self._audience,
            leeway=_LEEWAY_S,
            options={"require": _REQUIRED},
        )
        return claims

    def _principal(self, claims: dict[str, Any]) -> Principal | Refused:
        lifetime = int(claims["exp"]) - int(claims["iat"])
        if lifetime > self._max_lifetime_s:
            return Refused(f"the token is made out for {lifetime} s, more than {self._max_lifetime_s}")
        subject, tenant = claims["sub"], claims["tenant"]
        if not subject or len(subject) > _LONGEST_SUBJECT or not subject.isprintable():
            return Refused("the token's subject is empty, too long or not printable")
        if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
            return Refused("the token's tenant is no tenant name")
        roles = _roles(claims)
        if not roles:
            return Refused("the token names no role of ours in `role` or `roles`")
        return Principal(f"user:{subject}", tenant, roles, PrincipalKind.USER)


def _roles(claims: dict[str, Any]) -> frozenset[Role]:
    """Those we know: the issuer may serve other applications, with roles of their own."""
    listed = claims.get("roles", [])
    named = [claims.get("role"), *(listed if isinstance(listed, list) else [listed])]
    return frozenset(role for role in Role if role in named)
