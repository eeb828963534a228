"""Keys and names as the store has them: read again and again, kept while the store is away, and over a restart."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway_tuning.gateway.door import snapshot
from gateway_tuning.gateway.door.keys import GatewayKey, gateway_key
from gateway_tuning.gateway.door.names import UNCLAIMED
from gateway_tuning.gateway.door.ring import KeyRing
from gateway_tuning.gateway.snapshot import store_mark
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import gateway_keys, model_names, models

_log = logging.getLogger(__name__)
_READ_ALL_EVERY = 20  # loads: keys that somebody changed by hand are seen too

Counts = tuple[int, int]  # of keys, and of those that are revoked
Keys = tuple[tuple[GatewayKey, bytes], ...]  # with the SHA-256 of the secret


@dataclass(frozen=True, slots=True)
class Entries:
    """`owners` are tenants by model; `broken` the ids of keys that cannot be read and open nothing."""

    names: Mapping[str, str]
    owners: Mapping[str, str]
    keys: Keys
    broken: tuple[str, ...] = ()


class Directory:
    """An unreachable store changes nothing but `error`."""

    def __init__(self, engine: sa.Engine, *, interval_s: float, snapshot_file: Path | None = None) -> None:
        self.keys = KeyRing()
        self.loaded_at: datetime | None = None
        self.error: str | None = None
        self._engine = engine
        self._interval_s = interval_s
        self._snapshot_file = snapshot_file
        self._entries: Entries | None = None
        self._counts: Counts | None = None
        self._loads = 0

    @property
    def ready(self) -> bool:
        """Whether keys and names are known, from the store or from before a restart."""
        return self._entries is not None

    @property
    def names(self) -> Mapping[str, str]:
        """Models by the names that stand for them."""
        return self._entries.names if self._entries is not None else {}

    def served(self, asked: str, models: Mapping[str, object]) -> str:
        """The model that a client means. A model's own name goes before a name that stands for another."""
        return asked if asked in models else self.names.get(asked, asked)

    def owner(self, model: str) -> str:
        return UNCLAIMED if self._entries is None else self._entries.owners.get(model, UNCLAIMED)

    async def load(self) -> None:
        counts = self._counts if self._loads % _READ_ALL_EVERY else None
        before = self._entries
        try:
            entries, counts = await asyncio.to_thread(read_entries, self._engine, before, counts)
        except Exception as error:  # noqa: BLE001 - what is known serves on, /healthz shows why
            if self.error is None:
                _log.warning("keys and names could not be read, those that are known serve on: %s", error)
            self.error = f"{type(error).__name__}: {error}"
            if before is None:
                await self._recall()
            return
        self._loads, self._counts = self._loads + 1, counts
        self.loaded_at, self.error = datetime.now(UTC), _told(entries.broken)
        if entries != before:
            if self.error is not None:
                _log.warning("%s", self.error)
            self._take(entries)
            await self._remember(entries)

    async def keep_loading(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.load()

    def _take(self, entries: Entries) -> None:
        self._entries = entries
        self.keys.replace(entries.keys)

    async def _recall(self) -> None:
        if self._snapshot_file is None:
            return
        kept = await asyncio.to_thread(snapshot.read, self._snapshot_file, self._engine.url)
        if kept is not None:
            self._take(Entries(kept.names, kept.owners, tuple(kept.keys)))

    async def _remember(self, entries: Entries) -> None:
        if self._snapshot_file is None:
            return
        kept = snapshot.Snapshot(
            store=store_mark(self._engine.url),
            names=entries.names,
            owners=entries.owners,
            keys=entries.keys,
        )
        try:
            await asyncio.to_thread(snapshot.write, self._snapshot_file, kept)
        except (OSError, ValueError) as error:  # what is served does not depend on it
            _log.warning("%s could not be written: %s", self._snapshot_file, type(error).__name__)


def read_entries(engine: sa.Engine, before: Entries | None, known: Counts | None) -> tuple[Entries, Counts]:
    """The keys of `before` stand where there are as many, and as many revoked, as `known`."""
    counting = sa.select(sa.func.count(), sa.func.count(gateway_keys.c.revoked_at)).select_from(gateway_keys)
    with reading(engine) as connection:
        names = dict(connection.execute(sa.select(model_names.c.name, model_names.c.model)).tuples().all())
        owners = dict(connection.execute(sa.select(models.c.name, models.c.tenant)).tuples().all())
        total, revoked = connection.execute(counting).tuples().one()
        if before is not None and (total, revoked) == known:
            return Entries(names, owners, before.keys, before.broken), (total, revoked)
        valid = sa.select(gateway_keys).where(gateway_keys.c.revoked_at.is_(None))
        rows = connection.execute(valid.order_by(gateway_keys.c.id)).all()
    found = {row.id: _read_key(row) for row in rows}
    keys = tuple(pair for pair in found.values() if pair is not None)
    broken = tuple(key_id for key_id, pair in found.items() if pair is None)
    return Entries(names, owners, keys, broken), (total, revoked)


def _read_key(row: Any) -> tuple[GatewayKey, bytes] | None:
    """None for a row that somebody broke: it must not keep the others from being revoked."""
    try:
        return gateway_key(row), bytes.fromhex(row.secret_sha256)
    except (TypeError, ValueError):
        return None


def _told(broken: Sequence[str]) -> str | None:
    if not broken:
        return None
    return f"The gateway keys {', '.join(broken)} cannot be read and open nothing; revoke them"
