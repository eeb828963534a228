"""Files that are there whole or not at all, after a kill and after a power cut; and ids that are safe as their names."""

import hashlib
import os
import secrets
from pathlib import Path

_ID_LENGTH = 24


def new_id(prefix: str) -> str:
    return f"{prefix}{secrets.token_hex(_ID_LENGTH // 2)}"


def derived_id(prefix: str, *parts: str) -> str:
    """The same for the same parts, so that what is made again after a crash replaces its first copy."""
    return f"{prefix}{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:_ID_LENGTH]}"


def is_id(text: str, prefix: str) -> bool:
    """Nothing else may become a path."""
    rest = text.removeprefix(prefix)
    return text.startswith(prefix) and len(rest) == _ID_LENGTH and set(rest) <= set("0123456789abcdef")


def write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
