"""The week of a soak: what people and faults do, one day after the other, and when it was."""

import logging
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psutil

from benchmarks import soak_plans as plans
from benchmarks.soak_operator import Operators, until
from benchmarks.soak_stack import ROOT, Stack
from benchmarks.soak_users import Users
from gateway_tuning.feedback.threshold import ThresholdStore
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.storage.database import connect_database

logger = logging.getLogger("soak")

BROKEN = f"{plans.MODEL}@broken"
KILLED = ("api", "gateway", "models", "worker", "prefect", "postgresql")
S3_AWAY_SECONDS = 15.0
PROVIDER_AWAY_SECONDS = 30.0
CYCLE_SECONDS = 1800.0
DAYS = ("run", "outage", "bad", "cycle", "second", "drift", "kills", "s3")
QUICK = ("run", "cycle", "kills", "s3")


@dataclass(frozen=True, slots=True)
class Event:
    """`failed` is why what was meant to happen did not; the soak goes on all the same."""

    at: float
    what: str
    seconds: float | None = None
    failed: str | None = None


class Week:
    def __init__(
        self, stack: Stack, people: Operators, users: Users, *, database_url: str, broken_url: str
    ) -> None:
        self.events: list[Event] = []
        self._stack, self._people, self._users = stack, people, users
        self._database_url, self._broken_url = database_url, broken_url
        self._over = threading.Event()
        self._approver = threading.Thread(target=self._approve, daemon=True)

    def run(self, days: Collection[str], *, minutes: float = 0.0) -> None:
        """Those of DAYS that are named, in their order; users go on until `minutes` have passed, at least."""
        self._approver.start()
        try:
            self._day("Monday: last month's feedback is imported", self.import_feedback)
            self._day("Monday: the first cycle is asked for, and users begin", self.begin)
            plan: dict[str, tuple[tuple[str, Callable[[], None]], ...]] = {
                "run": (("Tuesday: the run that carries the cycle is killed", self.kill_flow_run),),
                "outage": (("Tuesday: the provider is away while it trains", self.provider_outage),),
                "bad": (("Wednesday: a bad candidate meets users", self.bad_candidate),),
                "cycle": (("Thursday: the first cycle comes to its end", self.first_cycle),),
                "second": (
                    ("Friday: a second cycle, begun by the threshold, comes to its end", self.second_cycle),
                ),
                "drift": (("Friday: users ask for something new", self.drift),),
                "kills": tuple((f"Saturday: {part} is killed", partial(self.kill, part)) for part in KILLED),
                "s3": (("Saturday: the object storage is stopped for a while", self.pause_s3),),
            }
            for what, work in (one for day in DAYS if day in days for one in plan[day]):
                self._day(what, work)
            while self._stack.clock < 60 * minutes:
                self._over.wait(5)
            self._day("Sunday: everything that was begun comes to its end", self.await_everything)
        finally:
            self._over.set()
            self._approver.join(130)

    def note(self, what: str, *, since: float | None = None, failed: str | None = None) -> None:
        now = self._stack.clock
        self.events.append(Event(now, what, None if since is None else now - since, failed))
        logger.info("%s%s", what, f": FAILED: {failed}" if failed else "")

    def import_feedback(self) -> None:
        run = self._people.start_flow("import-feedback", {"path": str(ROOT / "examples" / "feedback.jsonl")})
        state = until(lambda: self._people.flow_ended(run), 300)
        if state["type"] != "COMPLETED":
            raise RuntimeError(f"the import ended as {state['type']}: {state.get('message')}")

    def begin(self) -> None:
        self._people.ask("/tuning-cycles", plans.CYCLE)
        until(self._people.stable, 300)
        until(self._people.cycles, 60)
        # From here on, so that what was imported begins no cycle beside this one.
        engine = connect_database(self._database_url)
        try:
            thresholds = ThresholdStore(engine, default_count=500, default_hours=24)
            thresholds.set("default", plans.MODEL, count=plans.THRESHOLD, hours=None)
        finally:
            engine.dispose()
        self._users.start()

    def kill_flow_run(self) -> None:
        """In the middle of a stage; whatever carries runs again has to find the cycle."""
        until(lambda: self._stages() >= {"dataset"}, 400)
        processes = until(self._flow_processes, 120)
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        self.note(f"{len(processes)} processes of runs were killed")

    def first_cycle(self) -> None:
        self._await_cycle(lambda: self._people.cycles()[-1])

    def bad_candidate(self) -> None:
        """Registered by hand, as a team does with a model of its own; its canary has to take it back."""
        until(
            lambda: all(one["state"] != "running" for one in self._people.canaries()), CYCLE_SECONDS, every=2
        )
        engine = connect_database(self._database_url)
        try:
            registry, now = Registry(engine), datetime.now(UTC)
            version = ModelVersion(
                id=BROKEN,
                tenant="default",
                model=plans.MODEL,
                base_model="broken",
                provider="custom",
                created_at=now,
                served_model="broken",
            )
            registry.register(version)
            registry.set_endpoint(BROKEN, Endpoint(self._broken_url, "broken"), now=now)
        finally:
            engine.dispose()
        body = {"model": plans.MODEL, "candidate": BROKEN, "policy": plans.CANARY}
        self._people.ask("/deployments/canary", body)
        canary = until(self._ended_canary_of_broken, CYCLE_SECONDS, every=2)
        if canary["state"] != "rolled_back":
            raise RuntimeError(
                f"the canary of a broken model ended as {canary['state']}: {canary['reasons']}"
            )
        self.note(f"canary {canary['id']} was rolled back: {canary['reasons'][0]}")

    def provider_outage(self) -> None:
        until(lambda: self._training_jobs("running"), 600, every=1)
        with self._stack.without("models"):
            self.note("the provider is away")
            self._over.wait(PROVIDER_AWAY_SECONDS)
        self.note("the provider is back")

    def second_cycle(self) -> None:
        """Where the threshold began none within five minutes, one that is asked for."""
        try:
            until(self._second_cycle, 300, every=2)
        except TimeoutError:
            self.note("no cycle was begun by the threshold within five minutes; one is asked for")
            self._people.ask("/tuning-cycles", plans.CYCLE)
            until(self._second_cycle, 120, every=2)
        self._await_cycle(self._second_cycle)

    def drift(self) -> None:
        before = len(self._users.ledger.acknowledged)
        self._users.ask_for_new = 0.9
        wanted = int(plans.DRIFT["min_rows"] * 1.2)
        until(lambda: len(self._users.ledger.acknowledged) >= before + wanted, 900, every=2)
        # The days of this soak are minutes: "recent" is what came since users changed.
        days = (self._stack.clock - self.events[-1].at + 60) / 86400
        policy = {"on_drift": "note", "window_days": days}
        run = self._people.start_flow("watch-drift", {"policy": policy, "settings": plans.DRIFT})
        state = until(lambda: self._people.flow_ended(run), 400)
        found = self._people.ask("/drift-reports?limit=5")["items"]
        if state["type"] != "COMPLETED" or not any(one["state"] == "drift" for one in found):
            told = [(one["state"], one.get("reasons")) for one in found[:1]]
            raise RuntimeError(f"no drift was found: the check ended as {state['type']}, {told}")
        self.note("drift was found")

    def kill(self, part: str) -> None:
        life = self._stack.back(part, self._stack.kill(part))
        self.note(f"{part} was healthy again", since=life.started)
        self._over.wait(3)

    def pause_s3(self) -> None:
        self._stack.pause("s3", S3_AWAY_SECONDS)

    def await_everything(self) -> None:
        """Users go on until the last canary has ended: without them it would wait for ever."""
        try:
            until(lambda: not self._open_cycle(), CYCLE_SECONDS, every=2)
            # The gateways are asked about its end by the next advance-canaries.
            engine = connect_database(self._database_url)
            try:
                until(lambda: not CanaryStore(engine).unverified(), 180, every=2)
            finally:
                engine.dispose()
        finally:
            self._users.stop()
            until(lambda: not self._flow_processes(), 300, every=2)

    def _day(self, what: str, work: Callable[[], None]) -> None:
        self.note(what)
        since = self._stack.clock
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the rest of the week is lived all the same
            self.note(what, since=since, failed=f"{type(error).__name__}: {error}"[:1500])

    def _approve(self) -> None:
        while not self._over.wait(5):
            try:
                for approval in self._people.approve_all():
                    self.note(f"approval {approval} was granted")
            except Exception as error:  # noqa: BLE001 - told; the next round asks again
                self.note("approving", failed=f"{type(error).__name__}: {error}"[:500])

    def _stages(self) -> set[str]:
        newest = self._people.ask(f"/cycles/{self._people.cycles()[0]['id']}")
        return {stage["stage"] for stage in newest["stages"]}

    def _open_cycle(self) -> dict[str, Any] | None:
        return next((one for one in self._people.cycles() if one["status"] != "finished"), None)

    def _second_cycle(self) -> dict[str, Any] | None:
        found = self._people.cycles()
        return found[-2] if len(found) > 1 else None

    def _await_cycle(self, find: Callable[[], dict[str, Any] | None]) -> None:
        """To the end of its canary."""

        def ended() -> dict[str, Any] | None:
            found = find()
            return found if found and found["status"] == "finished" else None

        cycle = until(ended, CYCLE_SECONDS, every=2)
        self.note(f"cycle {cycle['id']} ended as {cycle['outcome']}: {cycle['reasons'][0]}")

    def _ended_canary_of_broken(self) -> dict[str, Any] | None:
        of_broken = [one for one in self._people.canaries() if one["candidate"] == BROKEN]
        return next((one for one in of_broken if one["state"] != "running"), None)

    def _training_jobs(self, status: str) -> list[dict[str, Any]]:
        return [one for one in self._people.ask("/training-jobs")["items"] if one["status"] == status]

    def _flow_processes(self) -> list[psutil.Process]:
        """Of runs under way, also those whose worker is gone."""
        found = []
        for process in self._stack.left_over():
            with suppress(psutil.Error):
                if "prefect.flow_engine" in " ".join(process.cmdline()) or "prefect.engine" in " ".join(
                    process.cmdline()
                ):
                    found.append(process)
        return found
