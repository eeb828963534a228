"""The stable versions on disk, for a gateway that starts while its store is away.

Canaries are left out on purpose: one that has ended meanwhile must not come back.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import sqlalchemy as sa

from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.storage.database import connect_database, open_database, upgrade

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`stable` by model, `endpoints` by version, as the store had them `at` that time."""

    stable: Mapping[str, str]
    endpoints: Mapping[str, Endpoint]
    at: datetime


def write_snapshot(
    path: Path, store: sa.URL, stable: Mapping[str, str], endpoints: Mapping[str, Endpoint], at: datetime
) -> None:
    """Whole or not at all, for the account alone: requests may carry what is nobody else's. Raises OSError."""
    wanted = {version: asdict(endpoints[version]) for version in stable.values() if version in endpoints}
    content = {"store": store_mark(store), "at": at.isoformat(), "stable": dict(stable), "endpoints": wanted}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(draft, "w", opener=_for_us_alone) as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_snapshot(path: Path, store: sa.URL) -> Snapshot | None:
    """None where there is none, or one of another store, or one that cannot be read."""
    try:
        content = json.loads(path.read_bytes())
        if content["store"] != store_mark(store):
            return None
        endpoints = {version: Endpoint(**fields) for version, fields in content["endpoints"].items()}
        return Snapshot(dict(content["stable"]), endpoints, datetime.fromisoformat(content["at"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s cannot be read and is not used: %s", path, error)
        return None


def open_store(url: str, snapshot: Path) -> sa.Engine:
    """The metadata store at its newest migration.

    A store that was served from before may be away: then it is waited for, and an SQLite file that is gone is not made
    anew. Without a snapshot of it nothing could be served, and whatever keeps it from opening is raised.
    """
    if read_snapshot(snapshot, sa.make_url(url)) is None:
        return open_database(url)
    engine = connect_database(url)
    try:
        upgrade(engine)
    except sa.exc.OperationalError as error:
        _log.warning("the store cannot be reached, its last stable versions are served: %s", error)
    return engine


def store_mark(store: sa.URL) -> str:
    """Tells stores apart without telling their passwords."""
    return sha256(store.render_as_string(hide_password=True).encode()).hexdigest()[:16]


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
