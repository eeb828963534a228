"""Everything that an erasure reaches from here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from gateway_tuning.anonymization.vaults import vault_key
from gateway_tuning.settings import Settings
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.training import catalog
from gateway_tuning.training.provider import Provider


@dataclass(frozen=True, slots=True)
class Places:
    """`provider` gives a training provider by its name. `home` and `cache_dir` are this machine's.

    `vault_key` opens the vaults of pseudonyms; None where there are none.
    """

    engine: sa.Engine
    objects: ObjectStore
    provider: Callable[[str], Provider]
    home: Path
    cache_dir: Path
    vault_key: bytes | None = None

    @classmethod
    def of(cls, settings: Settings, engine: sa.Engine, objects: ObjectStore) -> Self:
        return cls(
            engine=engine,
            objects=objects,
            provider=lambda name: catalog.provider(name, settings),
            home=settings.home,
            cache_dir=settings.cache_dir,
            vault_key=vault_key(settings),
        )
