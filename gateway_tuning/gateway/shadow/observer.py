"""Takes sampled answers of the stable version to the candidate, after their users have them and beside live traffic."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import sqlalchemy as sa

from gateway_tuning.gateway.door.upstreams import Upstreams
from gateway_tuning.gateway.observing import Answered
from gateway_tuning.gateway.routing import Route
from gateway_tuning.gateway.scoring.process import Scoring
from gateway_tuning.gateway.shadow.mirroring import ask, bound_of, cost_of, paired
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.rollout.shadows.shadow import Shadow
from gateway_tuning.rollout.shadows.store import Active, ShadowStore

_log = logging.getLogger(__name__)
_WAITING = 32  # requests, whose texts are held until it is their turn
# These failures say nothing of the model: the client left, or is to mend its request or to come back later.
_NOT_THE_MODELS = frozenset({"interrupted", "status_400", "status_413", "status_422", "status_429"})


@dataclass(frozen=True, slots=True)
class Target:
    shadow: Shadow
    endpoint: Endpoint


class ShadowObserver:
    """`upstreams` are whom the gateway may ask; candidates elsewhere are asked nothing.

    `dropped` were sampled and found no room, or no money that was not held by others or was too little. `error`: the store's.
    """

    def __init__(
        self,
        store: ShadowStore,
        session: aiohttp.ClientSession,
        scoring: Scoring,
        upstreams: Upstreams,
        *,
        timeout_s: float,
    ) -> None:
        self.mirrored = self.dropped = self.broken = 0
        self.error: str | None = None
        self._store, self._session, self._scoring = store, session, scoring
        self._upstreams, self._timeout_s = upstreams, timeout_s
        self._running: dict[str, Target] = {}
        self._told: set[str] = set()
        self._waiting: asyncio.Queue[tuple[Target, Answered]] = asyncio.Queue(_WAITING)

    @property
    def running(self) -> list[str]:
        return sorted(target.shadow.id for target in self._running.values())

    def wants(self, answer_id: str, route: Route) -> bool:
        target = self._running.get(route.model)
        if target is None:
            return False
        return target.shadow.control == route.version_id and target.shadow.samples(answer_id)

    def answered(self, answer: Answered) -> None:
        """Failures of the stable version are mirrored too: else it would seem never to fail.

        Simulated users are not: their questions would spend money and say nothing of real ones.
        """
        target = self._running.get(answer.route.model)
        if target is None or not self.wants(answer.answer_id, answer.route):
            return
        if answer.simulated or answer.error in _NOT_THE_MODELS:
            return
        try:
            self._waiting.put_nowait((target, answer))
        except asyncio.QueueFull:
            self.dropped += 1

    async def load(self) -> None:
        try:
            running = await asyncio.to_thread(self._store.running, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - the last ones go on; the store counts before each request anyway
            if self.error is None:
                _log.warning("shadows could not be read: %s", type(error).__name__)
            self.error = type(error).__name__
        else:
            self._running = {one.shadow.model: one for one in self._allowed(running)}
            self.error = None

    def _allowed(self, running: Sequence[Active]) -> Iterator[Target]:
        for one in running:
            if one.endpoint is None:
                continue
            reason = self._upstreams.refusal(one.endpoint)
            if reason is None:
                yield Target(one.shadow, one.endpoint)
            elif one.shadow.id not in self._told:
                self._told.add(one.shadow.id)
                _log.warning("shadow %s mirrors nothing: %s", one.shadow.id, reason)

    async def keep_loading(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            await self.load()

    async def keep_mirroring(self) -> None:
        while True:
            target, answer = await self._waiting.get()
            try:
                await self._mirror(target, answer)
            except Exception as error:  # noqa: BLE001 - one pair is missing; the message could quote a text
                self.broken += 1
                _log.warning("a pair of shadow %s is missing: %s", target.shadow.id, type(error).__name__)

    async def _mirror(self, target: Target, answer: Answered) -> None:
        shadow = target.shadow
        bound = bound_of(answer.body, shadow.prices)
        grant = await asyncio.to_thread(self._store.reserve, shadow.id, bound, now=datetime.now(UTC))
        if grant != "granted":
            self.dropped += grant == "unpaid"
            return
        candidate = await ask(self._session, target.endpoint, answer.body, timeout_s=self._timeout_s)
        pair = await paired(shadow, answer, candidate, self._scoring)
        charged = cost_of(shadow.prices, candidate)  # None: what was held stays spent
        await asyncio.to_thread(self._store.record, pair, bound=bound, charged=charged)
        self.mirrored += 1


@asynccontextmanager
async def open_shadow(
    engine: sa.Engine,
    session: aiohttp.ClientSession,
    scoring: Scoring,
    upstreams: Upstreams,
    *,
    timeout_s: float,
    concurrency: int = 2,
    interval_s: float = 0.5,
) -> AsyncIterator[ShadowObserver]:
    """At most `concurrency` requests to candidates are under way; `timeout_s` bounds each. Read anew every `interval_s`.

    What is under way at the end has no pair, and stays counted.
    """
    observer = ShadowObserver(ShadowStore(engine), session, scoring, upstreams, timeout_s=timeout_s)
    await observer.load()
    tasks = [asyncio.create_task(observer.keep_loading(interval_s))]
    tasks += [asyncio.create_task(observer.keep_mirroring()) for _ in range(concurrency)]
    try:
        yield observer
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
