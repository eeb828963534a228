"""A model's local versions, served for as long as users may meet them: what aliases, canaries and shadows name."""

import logging
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import urlsplit

import sqlalchemy as sa

from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.store import Registry
from gateway_tuning.serving import LOCAL_PROVIDER, open_endpoints
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import aliases, canaries, shadows

logger = logging.getLogger("gateway_tuning.serving")

LOOK_SECONDS = 2.0
LEAVE_SECONDS = (
    30.0  # after nobody names a version: gateways follow within a second, answers under way take longer
)


@dataclass(slots=True)
class _Served:
    endpoint: Endpoint
    server: ExitStack
    unnamed_since: float | None = None


class ServedAliases:
    """One server a version. `told` hears of each that begins; leaving the block ends them all."""

    def __init__(
        self,
        model: str,
        *,
        engine: sa.Engine,
        objects: ObjectStore,
        settings: Settings,
        told: Callable[[str, Endpoint], None],
    ) -> None:
        self._model = model
        self._engine = engine
        self._registry = Registry(engine)
        self._objects = objects
        self._settings = settings
        self._told = told
        self._served: dict[str, _Served] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for version_id in list(self._served):
            self._end(version_id)

    @property
    def versions(self) -> list[str]:
        return sorted(self._served)

    def look(self) -> None:
        """Begin what is named and not served, begin again what died, end what nobody has named for a while.

        A version that cannot be served keeps no other one from users; it is tried again with the next look, as is
        everything while the store is away.
        """
        try:
            named = self._named()
        except sa.exc.SQLAlchemyError as error:
            logger.warning("the store does not say what %s serves: %s", self._model, type(error).__name__)
            return
        for version_id in sorted(named):
            served = self._served.get(version_id)
            if served is not None and not _listens(served.endpoint):
                logger.error("the server of %s has died; another one is started", version_id)
                self._end(version_id)
                served = None
            if served is None:
                self._begin(version_id)
            else:
                served.unnamed_since = None
        for version_id in self._served.keys() - named:
            self._leave(version_id)

    def _named(self) -> set[str]:
        queries = [sa.select(aliases.c.version_id).where(aliases.c.model == self._model)]
        for table in (canaries, shadows):
            running = (table.c.model == self._model, table.c.state == "running")
            queries += [sa.select(table.c[name]).where(*running) for name in ("candidate", "control")]
        with reading(self._engine) as connection:
            return set(connection.execute(sa.union(*queries)).scalars())

    def _begin(self, version_id: str) -> None:
        stack = ExitStack()
        try:
            version = self._registry.get(version_id)
            if version.provider != LOCAL_PROVIDER:
                return
            opened = open_endpoints(
                [version], registry=self._registry, objects=self._objects, settings=self._settings
            )
            endpoint = stack.enter_context(opened)[version_id]
            self._registry.set_endpoint(version_id, endpoint, now=datetime.now(UTC))
        except (GatewayTuningError, sa.exc.SQLAlchemyError) as error:
            stack.close()
            logger.error("%s is not served: %s", version_id, error)  # noqa: TRY400 - the reason is for people
            return
        self._served[version_id] = _Served(endpoint, stack)
        self._told(version_id, endpoint)

    def _leave(self, version_id: str) -> None:
        served, now = self._served[version_id], time.monotonic()
        if served.unnamed_since is None:
            served.unnamed_since = now
        elif now - served.unnamed_since > LEAVE_SECONDS:
            logger.info("nobody names %s any more; its server ends", version_id)
            self._end(version_id)

    def _end(self, version_id: str) -> None:
        self._served.pop(version_id).server.close()


def _listens(endpoint: Endpoint) -> bool:
    url = urlsplit(endpoint.base_url)
    try:
        socket.create_connection((url.hostname or "", url.port or 0), timeout=5).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # busy, not gone
    return True
