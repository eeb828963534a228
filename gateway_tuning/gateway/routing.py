"""Which model version answers a request. A table read from the store as a whole and replaced as a whole."""

import asyncio
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway_tuning.gateway.door.upstreams import Upstreams
from gateway_tuning.gateway.replies import RefusedError
from gateway_tuning.gateway.snapshot import read_snapshot, write_snapshot
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.rollout.assignment import Arm, arm, bucket, user_key
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import aliases, canaries, endpoints

_log = logging.getLogger(__name__)
_NO_OBJECT = "its extra_body is no JSON object; correct the endpoint"


@dataclass(frozen=True, slots=True)
class Split:
    """A running canary: `share` of the users go to `candidate`."""

    canary_id: str
    salt: str
    share: float
    candidate: str


@dataclass(frozen=True, slots=True)
class Target:
    version_id: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request goes and under which heading its outcome is counted.

    `fallback` is the stable version, of a request to the canary alone: what it cannot answer is answered there.
    """

    model: str
    version_id: str
    endpoint: Endpoint
    arm: Arm
    canary_id: str | None
    user_key: str
    fallback: Target | None = None


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """`stable` and `splits` by model, `endpoints` by version.

    `refused` says of the versions whose endpoint must not be asked why. They are not among the endpoints.
    """

    stable: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, Split] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        return sorted(model for model, version in self.stable.items() if version in self.endpoints)

    def route(self, model: str, user: str | None, *, answer_id: str, salt: str) -> Route:
        """Raises RefusedError for a model that nobody serves.

        A request without a user is its own user, named by its answer. `salt` hides the names of users while no
        canary runs.
        """
        stable = self.stable.get(model)
        if stable is None:
            raise RefusedError(404, "model_not_found", f"The model '{model}' does not exist")
        split = self.splits.get(model)
        chosen: Arm = "stable"
        if split is not None and user is not None:
            chosen = arm(bucket(split.salt, split.canary_id, user), split.share)
            # Without its endpoint the canary stays silent; the look that misses it rolls it back.
            if chosen == "canary" and split.candidate not in self.endpoints:
                chosen = "stable"
        version, fallback = stable, None
        if split is not None and chosen == "canary":
            version = split.candidate
            behind = self.endpoints.get(stable)
            fallback = Target(stable, behind) if behind is not None else None
        endpoint = self.endpoints.get(version)
        if endpoint is None:
            raise self._unserved(model, version)
        return Route(
            model=model,
            version_id=version,
            endpoint=endpoint,
            arm=chosen,
            canary_id=split.canary_id if split is not None else None,
            user_key=user_key(split.salt if split is not None else salt, user or answer_id),
            fallback=fallback,
        )

    def _unserved(self, model: str, version: str) -> RefusedError:
        if version in self.refused:
            return RefusedError(
                502,
                "upstream_not_allowed",
                f"The endpoint of the model '{model}' is not allowed; see /healthz",
            )
        return RefusedError(503, "no_endpoint", f"The model '{model}' has no endpoint at the moment")


def routing_table(
    stable: Mapping[str, str],
    splits: Mapping[str, Split],
    served: Mapping[str, Endpoint],
    upstreams: Upstreams,
) -> RoutingTable:
    found = {version: upstreams.refusal(endpoint) for version, endpoint in served.items()}
    return RoutingTable(
        stable=stable,
        splits=splits,
        endpoints={version: endpoint for version, endpoint in served.items() if found[version] is None},
        refused={version: reason for version, reason in found.items() if reason is not None},
    )


def load_table(engine: sa.Engine, upstreams: Upstreams) -> RoutingTable:
    """A canary whose control is no longer stable splits nothing: its comparison is void."""
    with reading(engine) as connection:
        stable = dict(
            connection.execute(
                sa.select(aliases.c.model, aliases.c.version_id).where(aliases.c.alias == "stable")
            )
            .tuples()
            .all()
        )
        running = connection.execute(
            sa.select(
                canaries.c.id, canaries.c.model, canaries.c.salt, canaries.c.share,
                canaries.c.approved_share, canaries.c.candidate, canaries.c.control,
            ).where(canaries.c.state == "running")
        ).all()  # fmt: skip
        # A registry remembers many versions, of which few are served.
        wanted = {*stable.values(), *(row.candidate for row in running)}
        served = connection.execute(
            sa.select(
                endpoints.c.version_id, endpoints.c.base_url, endpoints.c.served_model, endpoints.c.api_key_env,
                sa.cast(endpoints.c.extra_body, sa.Text).label("extra_body"),
            ).where(endpoints.c.version_id.in_(wanted))
        ).all()  # fmt: skip
    splits = {
        row.model: Split(row.id, row.salt, _served_share(row.share, row.approved_share), row.candidate)
        for row in running
        if stable.get(row.model) == row.control
    }
    bodies = {row.version_id: _object(row.extra_body) for row in served}
    found = {
        row.version_id: Endpoint(row.base_url, row.served_model, body, row.api_key_env)
        for row in served
        if (body := bodies[row.version_id]) is not None
    }
    table = routing_table(stable, splits, found, upstreams)
    # One such row must not keep the end of somebody else's canary from being read.
    broken = {row.version_id: _NO_OBJECT for row in served if row.version_id not in found}
    return replace(table, refused={**table.refused, **broken})


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _served_share(share: float, approved: float | None) -> float:
    """A second lock: whatever is written as share, no more is served than is approved."""
    return share if approved is None else min(share, approved)


class Router:
    """Keeps the newest table that could be read; an unreachable store changes nothing but `error`.

    With `snapshot`, each table that differs from the one before is kept in that file, and a gateway that starts without
    its store serves the stable versions from there. `loaded_at` is when the store said what is served now.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        interval_s: float,
        upstreams: Upstreams | None = None,
        snapshot: Path | None = None,
    ) -> None:
        self.table = RoutingTable()
        self.loaded_at: datetime | None = None
        self.error: str | None = None
        self._engine = engine
        self._interval_s = interval_s
        self._upstreams = Upstreams.parse(None) if upstreams is None else upstreams
        self._snapshot = snapshot
        self._kept: RoutingTable | None = None
        self._keeping_failed = False
        self._salt = secrets.token_hex(16)  # nothing is compared across restarts without a canary

    def route(self, model: str, user: str | None, *, answer_id: str) -> Route:
        if self.loaded_at is None:
            raise RefusedError(503, "no_routes", "The gateway could not read its routes yet")
        return self.table.route(model, user, answer_id=answer_id, salt=self._salt)

    async def load(self) -> None:
        try:
            self.table = await asyncio.to_thread(load_table, self._engine, self._upstreams)
        except Exception as error:  # noqa: BLE001 - the last good table serves on, /healthz shows why
            if self.error is None:
                _log.warning("routes could not be read, the last ones serve on: %s", error)
            self.error = f"{type(error).__name__}: {error}"
            if self.loaded_at is None:
                await asyncio.to_thread(self._recall)
        else:
            self.loaded_at, self.error = datetime.now(UTC), None
            if self._snapshot is not None and self.table != self._kept:
                await asyncio.to_thread(self._keep, self._snapshot, self.table)

    async def keep_loading(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.load()

    def _recall(self) -> None:
        kept = None if self._snapshot is None else read_snapshot(self._snapshot, self._engine.url)
        if kept is not None:
            self.table = routing_table(kept.stable, {}, kept.endpoints, self._upstreams)
            self.loaded_at = kept.at
            _log.warning("the stable versions of %s are served: the store cannot be reached", kept.at)

    def _keep(self, path: Path, table: RoutingTable) -> None:
        try:
            write_snapshot(path, self._engine.url, table.stable, table.endpoints, datetime.now(UTC))
        except OSError as error:  # the disk is full or not ours: what is served does not depend on it
            if not self._keeping_failed:
                _log.warning("%s could not be written, a start without the store will fail: %s", path, error)
            self._keeping_failed = True
        else:
            self._kept, self._keeping_failed = table, False
