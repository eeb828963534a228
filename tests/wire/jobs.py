"""Jobs as a provider's server keeps them: each look at one is a step on its way, so that no test waits for a clock."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"
STEPS = 4
WAITS = 2  # looks at a job before it runs
ENDED = {SUCCEEDED, FAILED, CANCELLED}


@dataclass(slots=True)
class ServerJob:
    """`asked` is the request that made it. `calls_it` takes the place of its status as the server tells it."""

    id: str
    number: int
    asked: dict[str, Any]
    looks: int = 0
    ended: str | None = None
    is_stuck: bool = False
    calls_it: str | None = None
    failure: dict[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> int:
        return min(STEPS, max(0, self.looks - WAITS))

    @property
    def state(self) -> str:
        if self.ended is not None:
            return self.ended
        return QUEUED if self.step == 0 else RUNNING

    def look(self) -> None:
        if self.is_stuck or self.ended is not None:
            return
        self.looks += 1
        if self.looks > WAITS + STEPS:
            self.ended = FAILED if self.failure else SUCCEEDED

    def cancel(self) -> bool:
        """False: it has ended already."""
        if self.ended is not None:
            return False
        self.ended = CANCELLED
        return True

    def losses(self) -> list[tuple[int, float]]:
        """By step, falling."""
        return [(step, 2.0 / step) for step in range(1, self.step + 1)]


@dataclass(slots=True)
class ServerJobs:
    """`created` counts what was paid for."""

    by_id: dict[str, ServerJob] = field(default_factory=dict)
    created: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, id_: str | None, asked: dict[str, Any]) -> ServerJob:
        number = next(self._numbers)
        job = ServerJob(id_ or f"job-{number}", number, asked)
        self.by_id[job.id] = job
        self.created += 1
        return job

    def get(self, id_: str) -> ServerJob | None:
        return self.by_id.get(id_)

    def newest_first(self) -> list[ServerJob]:
        return sorted(self.by_id.values(), key=lambda job: -job.number)

    def vanish(self, id_: str) -> None:
        del self.by_id[id_]

    def clear(self) -> None:
        self.by_id.clear()
        self.created = 0
        self._numbers = itertools.count(1)
