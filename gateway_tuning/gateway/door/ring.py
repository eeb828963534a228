"""The keys that open the gateway, in memory: no request waits for the store, and none fails for want of it."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway_tuning.gateway.door.keys import KEY, GatewayKey
from gateway_tuning.gateway.door.limits import Limits
from gateway_tuning.gateway.replies import RefusedError

_NO_SECRET = bytes(hashlib.sha256().digest_size)


@dataclass(frozen=True, slots=True)
class Kept:
    """A key that is not revoked, with what is left of its limits in this process."""

    key: GatewayKey
    secret_sha256: bytes
    limits: Limits


class KeyRing:
    def __init__(self) -> None:
        self._kept: Mapping[str, Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def replace(self, keys: Iterable[tuple[GatewayKey, bytes]]) -> None:
        """Keys with the SHA-256 of their secrets. What a key has used of its limits stays used."""
        self._kept = {
            key.id: Kept(key, secret, self._limits(key)) for key, secret in keys if key.revoked_at is None
        }

    def check(self, text: str, now: datetime) -> Kept:
        """Raises RefusedError with 401. It does not tell whether a key is unknown, wrong, revoked or expired."""
        parsed = KEY.fullmatch(text)
        kept = self._kept.get(parsed[1]) if parsed is not None else None
        given = hashlib.sha256(parsed[2].encode() if parsed is not None else b"").digest()
        matches = hmac.compare_digest(given, kept.secret_sha256 if kept is not None else _NO_SECRET)
        if kept is None or not matches or not kept.key.is_valid(now):
            raise invalid_key(
                "Incorrect API key provided: it is unknown, revoked or expired. Ask the gateway's operator for another"
            )
        return kept

    def _limits(self, key: GatewayKey) -> Limits:
        before = self._kept.get(key.id)
        if before is not None and _figures(before.key) == _figures(key):
            return before.limits
        return Limits(*_figures(key))


def invalid_key(message: str) -> RefusedError:
    return RefusedError(401, "invalid_api_key", message, {"www-authenticate": "Bearer"})


def _figures(key: GatewayKey) -> tuple[int | None, int | None]:
    return key.requests_per_minute, key.tokens_per_minute
