"""Which arm a user belongs to. Pure: the same salt, canary and user give the same arm on every machine."""

import hashlib
from typing import Literal

Arm = Literal["canary", "control", "stable"]


def bucket(salt: str, canary_id: str, user: str) -> float:
    """The user's place in [0, 1): the first 8 bytes of SHA-256 over 2^64.

    Cut to 53 bits, so that the largest digest does not round up to 1.0.
    """
    digest = _digest(f"{salt}|{canary_id}|{user}")
    return (int.from_bytes(digest[:8], "big") >> 11) / 2.0**53


def arm(place: float, share: float) -> Arm:
    """Canary from below, an equally large control group from above, the rest stays out of the comparison.

    Both groups only grow while the share rises to at most one half: nobody changes between them.
    """
    if place < share:
        return "canary"
    return "control" if place >= 1.0 - share else "stable"


def named(user_id: str) -> str:
    """A user who has a name, told from a session that happens to be called the same."""
    return f"user:{user_id}"


def user_key(salt: str, user: str) -> str:
    """Joins the requests of one user in the outcomes without naming them."""
    return _digest(f"{salt}|user|{user}").hex()


def _digest(text: str) -> bytes:
    # A user id from JSON may hold a lone surrogate; it is as good a name as any.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
