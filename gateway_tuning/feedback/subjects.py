"""A user under the key of their tenant. Pure.

Outside the store a person is known by this id alone: without the key nobody finds the user behind it, and with the
key every row, part and model made of their words is found.
"""

import hmac


def subject_id(key: str, user_id: str) -> str:
    """HMAC-SHA256 in hex; `key` is hex. A user id from JSON may hold a lone surrogate; it is as good a name as any."""
    return hmac.digest(bytes.fromhex(key), user_id.encode("utf-8", "surrogatepass"), "sha256").hex()


def feedback_key(key: str, feedback_id: str) -> str:
    """What is kept of the id of an erased record, so that its receipt can still say so."""
    return subject_id(key, f"feedback\0{feedback_id}")
