"""Keys and names in a file, for a gateway that starts while the store is away. Of a secret there is its hash alone."""

import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway_tuning.gateway.door.keys import GatewayKey
from gateway_tuning.gateway.snapshot import store_mark

_log = logging.getLogger(__name__)


class Snapshot(BaseModel):
    """`store` tells stores apart: keys of one do not open another. `owners` are tenants by model; beside each key stands the SHA-256 of its secret."""

    model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")

    store: str
    names: Mapping[str, str]
    owners: Mapping[str, str]
    keys: Sequence[tuple[GatewayKey, bytes]]


def read(path: Path, store: sa.URL) -> Snapshot | None:
    """None where there is no file, or one of another store, or one that cannot be read."""
    try:
        kept = Snapshot.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        _log.warning("%s cannot be read and is not used: %s", path, type(error).__name__)
        return None
    return kept if kept.store == store_mark(store) else None


def write(path: Path, snapshot: Snapshot) -> None:
    """The file appears whole or not at all, and only its owner may read it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(6)}.partial")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(snapshot.model_dump_json())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
