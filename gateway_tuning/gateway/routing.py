"""Which model version answers a request. A table read from the store as a whole and replaced as a whole."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from gateway_tuning.gateway.replies import RefusedError
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.rollout.assignment import Arm, arm, bucket, user_key
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import aliases, canaries, endpoints

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Split:
    """A running canary: `share` of the users go to `candidate`."""

    canary_id: str
    salt: str
    share: float
    candidate: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request goes and under which heading its outcome is counted."""

    model: str
    version_id: str
    endpoint: Endpoint
    arm: Arm
    canary_id: str | None
    user_key: str


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """`stable` and `splits` by model, `endpoints` by version."""

    stable: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, Split] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        return sorted(model for model, version in self.stable.items() if version in self.endpoints)

    def route(self, model: str, user: str | None, *, answer_id: str, salt: str) -> Route:
        """Raises RefusedError for a model that nobody serves.

        A request without a user is its own user, named by its answer. `salt` hides the names of users while no
        canary runs.
        """
        version = self.stable.get(model)
        if version is None:
            raise RefusedError(404, "model_not_found", f"The model '{model}' does not exist")
        split = self.splits.get(model)
        chosen: Arm = "stable"
        if split is not None and user is not None:
            chosen = arm(bucket(split.salt, split.canary_id, user), split.share)
            # Without its endpoint the canary stays silent; the look that misses it rolls it back.
            if chosen == "canary" and split.candidate not in self.endpoints:
                chosen = "stable"
        if split is not None and chosen == "canary":
            version = split.candidate
        endpoint = self.endpoints.get(version)
        if endpoint is None:
            raise RefusedError(503, "no_endpoint", f"The model '{model}' has no endpoint at the moment")
        return Route(
            model=model,
            version_id=version,
            endpoint=endpoint,
            arm=chosen,
            canary_id=split.canary_id if split is not None else None,
            user_key=user_key(split.salt if split is not None else salt, user or answer_id),
        )


def load_table(engine: sa.Engine) -> RoutingTable:
    """A canary whose control is no longer stable splits nothing: its comparison is void."""
    with reading(engine) as connection:
        stable = dict(
            connection.execute(
                sa.select(aliases.c.model, aliases.c.version_id).where(aliases.c.alias == "stable")
            )
            .tuples()
            .all()
        )
        running = connection.execute(sa.select(canaries).where(canaries.c.state == "running")).all()
        served = connection.execute(sa.select(endpoints)).all()
    return RoutingTable(
        stable=stable,
        splits={
            row.model: Split(row.id, row.salt, row.share, row.candidate)
            for row in running
            if stable.get(row.model) == row.control
        },
        endpoints={
            row.version_id: Endpoint(row.base_url, row.served_model, dict(row.extra_body), row.api_key_env)
            for row in served
        },
    )


class Router:
    """Keeps the newest table that could be read; an unreachable store changes nothing but `error`."""

    def __init__(self, engine: sa.Engine, *, interval_s: float) -> None:
        self.table = RoutingTable()
        self.loaded_at: datetime | None = None
        self.error: str | None = None
        self._engine = engine
        self._interval_s = interval_s
        self._salt = secrets.token_hex(16)  # nothing is compared across restarts without a canary

    def route(self, model: str, user: str | None, *, answer_id: str) -> Route:
        if self.loaded_at is None:
            raise RefusedError(503, "no_routes", "The gateway could not read its routes yet")
        return self.table.route(model, user, answer_id=answer_id, salt=self._salt)

    async def load(self) -> None:
        try:
            self.table = await asyncio.to_thread(load_table, self._engine)
        except Exception as error:  # noqa: BLE001 - the last good table serves on, /healthz shows why
            if self.error is None:
                _log.warning("routes could not be read, the last ones serve on: %s", error)
            self.error = f"{type(error).__name__}: {error}"
        else:
            self.loaded_at, self.error = datetime.now(UTC), None

    async def keep_loading(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.load()
