"""Signed rating tokens: a rating counts for the answer that this user was given. Pure.

`v1.<answer id>.<user tag>.<expiry, Unix seconds>.<signature>`. The tag hides the user; the signature is HMAC-SHA256
over what stands before it.
"""

import base64
import hmac
from datetime import UTC, datetime

ANONYMOUS = "-"


def issue(key: bytes, answer_id: str, user: str | None, expires_at: datetime) -> str:
    """`answer_id` must hold no dot. `user` is None for a request that named nobody: anyone may rate that answer."""
    body = f"v1.{answer_id}.{_tag(key, user)}.{int(expires_at.timestamp())}"
    return f"{body}.{_signature(key, body)}"


def fault(key: bytes, token: str, *, answer_id: str | None, user: str | None, now: datetime) -> str | None:
    """Why the token does not vouch for this rating; None when it does."""
    body, _, signature = token.rpartition(".")
    parts = body.split(".")
    # Bytes: comparing text that is not ASCII would raise instead of failing.
    genuine = hmac.compare_digest(signature.encode("utf-8", "replace"), _signature(key, body).encode())
    if not genuine or len(parts) != 4:  # noqa: PLR2004 - see the module's docstring
        return "Rating token is not genuine"
    _, signed_answer, tag, expiry = parts
    if signed_answer != answer_id:
        return "Rating token belongs to another answer"
    if tag not in {_tag(key, None), _tag(key, user)}:
        return "Rating token belongs to another user"
    if now > datetime.fromtimestamp(int(expiry), UTC):
        return "Rating token has expired"
    return None


def _tag(key: bytes, user: str | None) -> str:
    return ANONYMOUS if user is None else _digest(key, f"user\0{user}")[:22]


def _signature(key: bytes, body: str) -> str:
    return _digest(key, f"token\0{body}")


def _digest(key: bytes, text: str) -> str:
    # A user id from JSON may hold a lone surrogate; it is as good a name as any.
    digest = hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
