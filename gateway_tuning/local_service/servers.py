"""Model servers on demand: one llama.cpp process a model, a few at a time.

One process for several adapters would let the requests for one wait for those of another.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_tuning.local_service.problems import RefusedError
from gateway_tuning.training.local.model.weights import BASE_MODEL, packaged_gguf
from gateway_tuning.training.local.serving.server import random_key, serve_local

MOST = 3  # about 0.2 GiB each


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model answers, until it is given back. `extra_body` chooses the adapter in each request."""

    url: str
    extra_body: Mapping[str, Any]
    key: str


@dataclass(slots=True)
class _Running:
    address: Address
    process: ExitStack
    users: int = 0
    last_used: float = 0.0


class ModelServers:
    def __init__(self, logs: Path, *, most: int = MOST) -> None:
        self._logs = logs
        self._most = most
        self._starting = threading.Lock()
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._key = random_key()

    def take(self, name: str, adapter: Path | None) -> Address:
        """Starts the model's server where none runs; give it back after use. None: the base model itself.

        Raises:
            ServingError: the server did not start.
            RefusedError: all servers that may run are busy.
        """
        found = self._join(name)
        if found is not None:  # nobody waits here for the start of another model
            return found
        with self._starting:
            found = self._join(name)
            if found is not None:
                return found
            self._make_room()
            running = self._start(name, adapter)
            with self._lock:
                self._running[name] = running
            return running.address

    def give_back(self, name: str, address: Address, *, is_broken: bool = False) -> None:
        """A broken server is stopped, so that the next request starts another."""
        with self._lock:
            running = self._running.get(name)
            if running is None or running.address is not address:
                return
            running.users -= 1
            running.last_used = time.monotonic()
            if is_broken:
                del self._running[name]
        if is_broken:
            running.process.close()

    def stop(self, name: str) -> None:
        """For a model that is no more: answers under way break off."""
        with self._starting:
            with self._lock:
                running = self._running.pop(name, None)
            if running is not None:
                running.process.close()

    def close(self) -> None:
        for name in list(self._running):
            self.stop(name)

    def _join(self, name: str) -> Address | None:
        with self._lock:
            running = self._running.get(name)
            if running is None:
                return None
            running.users += 1
            return running.address

    def _make_room(self) -> None:
        with self._lock:
            if len(self._running) < self._most:
                return
            idle = [(running.last_used, name) for name, running in self._running.items() if not running.users]
            if not idle:
                raise RefusedError(503, f"{self._most} models are being asked at the same time; try again")
            running = self._running.pop(min(idle)[1])
        running.process.close()

    def _start(self, name: str, adapter: Path | None) -> _Running:
        stack = ExitStack()
        adapters = {} if adapter is None else {name: adapter}
        log = self._logs / "model-servers.log"
        server = stack.enter_context(
            serve_local(adapters, base_gguf=packaged_gguf(), api_key=self._key, log=log)
        )
        endpoint = server.endpoints[BASE_MODEL if adapter is None else name]
        return _Running(Address(endpoint.base_url, endpoint.extra_body, self._key), stack, users=1)
