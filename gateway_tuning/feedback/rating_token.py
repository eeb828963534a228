"""Signed rating tokens: a rating counts for the answer that this version gave this user. Pure.

`v2.<answer id>.<version>.<user tag>.<expiry, Unix seconds>.<signature>`. The version is percent-encoded and may hold
dots. The tag hides the user; the signature is HMAC-SHA256 over what stands before it. `v1` has no version.
"""

import base64
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote

ANONYMOUS = "-"


@dataclass(frozen=True, slots=True)
class _Token:
    answer_id: str
    version: str | None
    tag: str
    expires_at: datetime


def issue(
    key: bytes, answer_id: str, user: str | None, expires_at: datetime, *, version: str | None = None
) -> str:
    """`answer_id` must hold no dot. `user` is None for a request that named nobody: anyone may rate that answer.

    `version` is the model version that gave the answer; without it the token is a `v1` and vouches for none.
    """
    head = f"v1.{answer_id}" if version is None else f"v2.{answer_id}.{quote(version, safe='')}"
    body = f"{head}.{_tag(key, user)}.{int(expires_at.timestamp())}"
    return f"{body}.{_signature(key, body)}"


def fault(key: bytes, token: str, *, answer_id: str | None, user: str | None, now: datetime) -> str | None:
    """Why the token does not vouch for this rating; None when it does."""
    found = _read(key, token)
    if found is None:
        return "Rating token is not genuine"
    if found.answer_id != answer_id:
        return "Rating token belongs to another answer"
    if found.tag not in {_tag(key, None), _tag(key, user)}:
        return "Rating token belongs to another user"
    if now > found.expires_at:
        return "Rating token has expired"
    return None


def version_of(key: bytes, token: str) -> str | None:
    """The model version that the token vouches for; None where it names none or is not genuine."""
    found = _read(key, token)
    return None if found is None else found.version


def _read(key: bytes, token: str) -> _Token | None:
    body, _, signature = token.rpartition(".")
    # Bytes: comparing text that is not ASCII would raise instead of failing.
    genuine = hmac.compare_digest(signature.encode("utf-8", "replace"), _signature(key, body).encode())
    match body.split(".") if genuine else []:
        case ["v1", answer_id, tag, expiry]:
            return _Token(answer_id, None, tag, datetime.fromtimestamp(int(expiry), UTC))
        case ["v2", answer_id, *version, tag, expiry] if version:
            signed = unquote(".".join(version))
            return _Token(answer_id, signed, tag, datetime.fromtimestamp(int(expiry), UTC))
    return None


def _tag(key: bytes, user: str | None) -> str:
    return ANONYMOUS if user is None else _digest(key, f"user\0{user}")[:22]


def _signature(key: bytes, body: str) -> str:
    return _digest(key, f"token\0{body}")


def _digest(key: bytes, text: str) -> str:
    # A user id from JSON may hold a lone surrogate; it is as good a name as any.
    begun = _begun(key).copy()
    begun.update(text.encode("utf-8", "surrogatepass"))
    return base64.urlsafe_b64encode(begun.digest()).decode().rstrip("=")


@lru_cache(maxsize=4)
def _begun(key: bytes) -> hmac.HMAC:
    """Half of the work is the key's alone, and a gateway has one."""
    return hmac.new(key, None, "sha256")
