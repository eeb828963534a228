"""What happened to a job, one line an event in `jobs/ID/events.jsonl`. An event with a key that is there is not added again."""

import threading
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.local_service.store.whole_files import derived_id

Level = Literal["info", "warn", "error"]


class Event(BaseModel):
    """`data` holds figures for an event of a training step, and nothing for others."""

    model_config = ConfigDict(frozen=True)

    key: str
    created_at: float
    message: str
    level: Level = "info"
    data: dict[str, float] = Field(default_factory=dict)

    def wire(self, job_id: str) -> dict[str, Any]:
        return {
            "object": "fine_tuning.job.event",
            "id": derived_id("ftevent-", job_id, self.key),
            "created_at": int(self.created_at),
            "level": self.level,
            "message": self.message,
            "type": "metrics" if self.data else "message",
            "data": self.data,
        }


class EventLog:
    """Of all jobs. `root` is the folder of the jobs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Event]] = {}

    def add(self, job_id: str, event: Event) -> None:
        with self._lock:
            known = self._events(job_id)
            if event.key in known:
                return
            path = self._path(job_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                stream.write(event.model_dump_json().encode() + b"\n")
            known[event.key] = event

    def of(self, job_id: str) -> list[Event]:
        """In their order."""
        with self._lock:
            return list(self._events(job_id).values())

    def forget(self, job_id: str) -> None:
        """Out of memory, not off the disk: an ended job is seldom asked about."""
        with self._lock:
            self._known.pop(job_id, None)

    def _path(self, job_id: str) -> Path:
        return self._root / job_id / "events.jsonl"

    def _events(self, job_id: str) -> dict[str, Event]:
        if job_id not in self._known:
            self._known[job_id] = {event.key: event for event in _read(self._path(job_id))}
        return self._known[job_id]


def _read(path: Path) -> list[Event]:
    """A last line without its end was cut off by a kill; it is taken away, so that the next starts on its own."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole)
    return [Event.model_validate_json(line) for line in content[:whole].splitlines()]
