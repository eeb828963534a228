"""The people who run the product in a soak: they ask the API for runs, and approve what others asked for."""

import time
import urllib.error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from benchmarks.soak_stack import call

Found = TypeVar("Found")
PREFIX = "/api/model-training"


@dataclass(frozen=True, slots=True)
class Operators:
    """`anna` asks, `ben` approves: nobody approves what they asked for."""

    api: str
    prefect: str
    anna: str
    ben: str

    def ask(self, path: str, body: object = None, *, key: str | None = None) -> Any:
        """Again while the API or its store is away, as a person would. Raises HTTPError for a refusal."""
        deadline = time.monotonic() + 120
        while True:
            try:
                return call(f"{self.api}{PREFIX}{path}", body, key=key or self.anna)
            except urllib.error.HTTPError as error:
                if error.code not in {500, 502, 503, 504} or time.monotonic() > deadline:
                    raise RuntimeError(f"{path}: {error.code} {error.read().decode()}") from error
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(1)

    def approve_all(self) -> list[str]:
        """What waits for an approval of runs and cycles, and of canaries' shares."""
        done = []
        for one in self.ask("/approvals", key=self.ben)["items"]:
            if one["state"] == "pending":
                self.ask(f"/approvals/{one['id']}", {"decision": "approve", "comment": "seen"}, key=self.ben)
                done.append(str(one["id"]))
        return done

    def cycles(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("/cycles?limit=100")["items"]
        return found

    def canaries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("/canaries?limit=100")["items"]
        return found

    def stable(self, model: str = "assistant") -> str | None:
        try:
            found = self.ask(f"/deployments/{model}")
        except RuntimeError:
            return None
        return next((one["version"] for one in found["now"] if one["role"] == "stable"), None)

    def of_prefect(self, path: str, body: object = None, *, method: str | None = None) -> Any:
        """Its server answers 503 while its SQLite is busy, and nothing while it is started again."""
        return until(lambda: (call(f"{self.prefect}{path}", body, method=method),), 120)[0]

    def deployments(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.of_prefect("/deployments/filter", {})}

    def start_flow(self, name: str, parameters: Mapping[str, Any]) -> str:
        path = f"/deployments/{self.deployments()[name]['id']}/create_flow_run"
        return str(self.of_prefect(path, {"parameters": parameters})["id"])

    def flow_ended(self, run_id: str) -> dict[str, Any] | None:
        state: dict[str, Any] = self.of_prefect(f"/flow_runs/{run_id}")["state"]
        return state if state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

    def hasten(self, seconds: Mapping[str, float]) -> None:
        """Give scheduled deployments a shorter interval: the time of a soak is compressed."""
        for name, interval in seconds.items():
            found = self.deployments()[name]
            for schedule in found["schedules"]:
                path = f"/deployments/{found['id']}/schedules/{schedule['id']}"
                self.of_prefect(path, {"schedule": {"interval": interval}}, method="PATCH")


def until(condition: Callable[[], Found | None], seconds: float, *, every: float = 0.5) -> Found:
    """What the condition found. Raises TimeoutError; a part that is away counts as not yet."""
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            found = condition()
        except OSError as error:
            found, last = None, error
        if found:
            return found
        time.sleep(every)
    raise TimeoutError(f"not within {seconds:.0f} s{'' if last is None else f'; {last}'}")
