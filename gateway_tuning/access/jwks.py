"""The issuer's public keys, from one fixed place."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import jwt

from gateway_tuning.errors import ConfigurationError, missing_extra

_FRESH_S = 600.0  # then withdrawn keys go
_STALE_S = 3600.0  # so long the last keys serve while the issuer does not answer
_PAUSE_S = 60.0  # between two reads that unknown key ids or failures cause
_TIMEOUT_S = 5.0
_LONGEST_SET = 1_000_000
_ALGORITHMS: dict[tuple[Any, Any], str] = {
    ("OKP", "Ed25519"): "EdDSA",
    ("EC", "P-256"): "ES256",
    ("RSA", None): "RS256",
}
_SHORTEST_RSA = 2048  # bits
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_log = logging.getLogger(__name__)


class KeysUnavailableError(Exception):
    """The issuer's keys cannot be read, so that no token can be checked."""


class KeySet:
    """`source` is an https URL (http on loopback) or a file in JWKS format."""

    def __init__(self, source: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._is_url = "://" in source
        self._clock = clock
        self._lock = Lock()
        self._keys: dict[str, tuple[Any, str]] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        if self._is_url:
            url = urlsplit(source)
            if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
                raise ConfigurationError(
                    f"GATEWAY_TUNING_JWT_JWKS is {source}: keys come over https alone, or anybody could send theirs"
                )
        else:  # a file that is wrong shows at the start
            self._read()

    def get(self, key_id: Any) -> tuple[Any, str]:
        """A key and its algorithm. Raises jwt.InvalidKeyError for an unknown id, or KeysUnavailableError."""
        if not isinstance(key_id, str):
            raise jwt.InvalidKeyError("the token's header has no kid")
        if self._is_due(key_id):
            with self._lock:  # one reads, the others wait for what it finds
                if self._is_due(key_id):
                    self._refresh()
        age = self._clock() - self._read_at if self._read_at is not None else None
        if age is None or age > _STALE_S:
            raise KeysUnavailableError(f"no keys could be read from {self._source} lately")
        found = self._keys.get(key_id)
        if found is None:
            raise jwt.InvalidKeyError("the token's kid is not in the key set")
        return found

    def _is_due(self, key_id: str) -> bool:
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < _PAUSE_S:
            return False
        return self._read_at is None or now - self._read_at > _FRESH_S or key_id not in self._keys

    def _refresh(self) -> None:
        try:
            self._read()
        except ConfigurationError as error:
            _log.warning("%s", error)
        self._tried_at = self._clock()

    def _read(self) -> None:
        try:
            data = self._fetch() if self._is_url else Path(self._source).read_bytes()
            self._keys = dict(_usable(json.loads(data)["keys"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"No key set could be read from {self._source} ({type(error).__name__}); GATEWAY_TUNING_JWT_JWKS names a JWKS document"
            ) from error
        if not self._keys:
            raise ConfigurationError(
                f"{self._source} holds no key with a kid for EdDSA, ES256 or RS256 of {_SHORTEST_RSA} bits"
            )
        self._read_at = self._clock()

    def _fetch(self) -> bytes:
        try:
            import httpx
        except ImportError as error:
            raise missing_extra("httpx", "api") from error
        try:
            with (
                httpx.Client(follow_redirects=False, timeout=_TIMEOUT_S, trust_env=False) as client,
                client.stream("GET", self._source) as reply,
            ):
                if reply.status_code != httpx.codes.OK:
                    raise OSError(f"status {reply.status_code}")
                data = b""
                for part in reply.iter_bytes():
                    data += part
                    if len(data) > _LONGEST_SET:
                        raise OSError("too long")
                return data
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error


def _usable(keys: list[dict[str, Any]]) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Only public signature keys: a symmetric one in a published set would let anybody sign."""
    for raw in keys:
        algorithm = _algorithm(raw)
        if algorithm is None or not isinstance(raw.get("kid"), str) or raw.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(raw, algorithm=algorithm)
        except jwt.PyJWTError as error:
            _log.warning("a key of the key set is left out: %s", type(error).__name__)
            continue
        if algorithm == "RS256" and key.key.key_size < _SHORTEST_RSA:
            continue
        yield raw["kid"], (key, algorithm)


def _algorithm(raw: dict[str, Any]) -> str | None:
    if "d" in raw:  # a private key does not belong here
        return None
    algorithm = _ALGORITHMS.get((raw.get("kty"), raw.get("crv")))
    return algorithm if raw.get("alg", algorithm) == algorithm else None
