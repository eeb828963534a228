"""kill -9 at every commit and at every question to the gateway while a canary ends: it ends the same, once.

The gateway is a process of its own, which follows the store as in life.
"""

import json
import os
import shutil
import signal
import time
import traceback
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from gateway_tuning import processes
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.rollout.policy import CanaryPolicy, MetricMargins
from gateway_tuning.rollout.served import GatewayRouter, Served
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import alias_history, aliases, cycle_stages, cycles
from tasks import rollout, runtime

pytestmark = pytest.mark.slow

POLICY = CanaryPolicy(
    stages=(0.5,),
    stage_seconds=0,
    min_users=20,
    min_rated_users=20,
    min_requests=20,
    metrics_to_monitor=("error_rate", "latency", "user_feedback"),
    margins=MetricMargins(error_rate=0.1, latency=0.5, user_feedback=0.15),
)
START_S, ARRIVES_S = 60, 20
ASK = GatewayRouter._ask


@dataclass
class World:
    """One store and one gateway for all canaries: each schedule has a canary of its own."""

    settings: Settings
    engine: sa.Engine
    gateway: "Gateway"
    number: int = 0

    @property
    def id(self):
        return f"c{self.number}"

    @property
    def store(self):
        return CanaryStore(self.engine)

    def stable(self):
        return self.store.stable("m")

    def begin(self, *, likes):
        """A canary with traffic behind it, and a cycle that waits for it."""
        self.number += 1
        candidate, control, now = f"v{self.number}", self.stable(), datetime.now(UTC)
        Registry(self.engine).set_endpoint(candidate, Endpoint("http://127.0.0.1:9/v1", candidate), now=now)
        self.store.start(
            self.id, tenant="t", model="m", candidate=candidate, control=control, policy=POLICY, now=now
        )
        OutcomeStore(self.engine).write(
            [
                Outcome(
                    f"{self.id}-{arm}-{user}", "m", self.id, arm, "v", f"{arm}-{user}", now, 500.0 + user,
                    rating=1.0 if user < share * 120 else -1.0,
                )
                for arm, share in (("canary", likes), ("control", 0.5))
                for user in range(120)
            ]
        )  # fmt: skip
        cycle = f"cycle-{self.number}"
        with self.engine.begin() as connection:
            connection.execute(
                sa.insert(cycles).values(
                    id=cycle, tenant="t", model="m", plan_hash="p", plan={}, watermark=1, incumbent=control,
                    started_by="user:anna", status="in_canary", reasons=[], created_at=now,
                )
            )  # fmt: skip
            connection.execute(
                sa.insert(cycle_stages).values(
                    cycle_id=cycle, stage="canary", object_id=self.id, detail={}, seconds=1.0, finished_at=now
                )
            )
        self.gateway.until(lambda served: served.canary_id == self.id)

    def run(self, effects=-1):
        """The schedule of advance-canaries in a process that kills itself after so many effects. True when it did."""
        child = os.fork()
        if not child:
            try:
                os._exit(self._work(effects))
            except BaseException:  # noqa: BLE001 - this process must not go on as a second pytest
                traceback.print_exc()
                os._exit(1)
        _, ending = os.waitpid(child, 0)
        assert os.WIFSIGNALED(ending) or os.WEXITSTATUS(ending) == 0
        return os.WIFSIGNALED(ending)

    def _work(self, effects):
        done = 0

        def effect(*_arguments):
            nonlocal done
            if done == effects:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1

        def between_effects(router):
            effect()
            answer = ASK(router)
            effect()
            return answer

        GatewayRouter._ask = between_effects
        rt = _quiet(self.settings)
        event.listen(rt.engine, "commit", effect)
        for _ in range(2):  # the second one finds the end of the first one, which has arrived by then
            _advance()
            self.gateway.until(lambda served: served.canary_id != self.id)
        (self.settings.home / "effects").write_text(str(done))
        return 0

    @property
    def effects(self):
        return int((self.settings.home / "effects").read_text())

    def end(self):
        """All that is left of it, ids and times aside."""
        canary = self.store.get(self.id)
        with self.engine.connect() as connection:
            cycle = connection.execute(
                sa.select(cycles.c.status, cycles.c.outcome).where(cycles.c.id == f"cycle-{self.number}")
            ).one()
            moves = connection.execute(
                sa.select(sa.func.count()).where(alias_history.c.version_id == canary.candidate)
            ).scalar_one()
        served = self.gateway.served()
        return {
            "state": (canary.state, canary.share, canary.stage, canary.looks),
            "looks": [look.decision for look in self.store.looks(self.id)],
            "cycle": tuple(cycle),
            "verified": canary.verified_at is not None,
            "moves of stable to it": moves,
            "stable is it": (self.stable() == canary.candidate, served.stable == canary.candidate),
            "canary served": served.canary_id,
        }


class Gateway:
    def __init__(self, settings):
        self._settings = settings
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        environment = {
            "GATEWAY_TUNING_HOME": str(self._settings.home),
            "GATEWAY_TUNING_RELEVANCE_SHARE": "0",
            "GATEWAY_TUNING_DATABASE_URL": "",
        }
        arguments = ["serve-gateway", "--port", str(self.port), "--exit-with-parent"]
        log = self._settings.home / "gateway.log"
        self.process = processes.spawn("gateway_tuning.cli", arguments, log=log, env=environment)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/routes", timeout=2) as answer:
                    if json.load(answer)["loaded_at"] is not None:
                        return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(log.read_text())

    def served(self) -> Served:
        router = GatewayRouter(self.url)
        router._answer = ASK(router)  # a question of the test is no effect
        return router.served("m")

    def until(self, holds):
        deadline = time.monotonic() + ARRIVES_S
        while not holds(self.served()):
            assert time.monotonic() < deadline, "the gateway does not follow its store"
            time.sleep(0.02)


def _quiet(settings):
    """What is shown to people is no effect, and there is no Prefect here to show it."""
    rollout.create_markdown_artifact = lambda *_arguments, **_options: None
    rt = runtime.Runtime(settings)
    rt.engine.dispose()
    rollout.runtime = lambda: rt
    return rt


def _advance():
    """As flows/advance_canaries.py."""
    rollout.verify_ended_canaries.fn()
    for canary_id in rollout.running_canaries.fn():
        rollout.advance_canary.fn(canary_id)


@pytest.fixture(scope="module")
def world(tmp_path_factory, migrated_sqlite):
    home = tmp_path_factory.mktemp("rollback")
    shutil.copyfile(migrated_sqlite, home / "gateway-tuning.db")
    gateway = Gateway(Settings(home=home))
    settings = Settings(home=home, gateway_urls=gateway.url)
    engine = open_database(settings.resolved_database_url)
    now = datetime.now(UTC)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(aliases).values(model="m", alias="stable", version_id="v0", updated_at=now)
        )
    Registry(engine).set_endpoint("v0", Endpoint("http://127.0.0.1:9/v1", "v0"), now=now)
    gateway.start()
    yield World(settings, engine, gateway)
    processes.stop(gateway.process)
    engine.dispose()


@pytest.mark.parametrize(("likes", "state"), [(0.1, "rolled_back"), (0.9, "promoted")])
def test_killed_anywhere_and_run_again_a_canary_ends_the_same(world, likes, state):
    world.begin(likes=likes)
    assert not world.run()
    undisturbed, effects = world.end(), world.effects
    assert undisturbed["state"][:2] == (state, 0.0)
    assert undisturbed["verified"]
    assert effects >= 5  # the look, the cycle, both sides of the question, what was answered

    for point in range(effects):
        world.begin(likes=likes)
        assert world.run(point), f"not killed after {point} of {effects} effects"
        assert not world.run()
        assert world.end() == undisturbed, f"killed after {point} of {effects} effects"
    assert world.store.unverified() == []


def test_a_gateway_that_is_away_when_the_end_comes_is_an_alarm_until_it_is_back(world, monkeypatch):
    world.begin(likes=0.5)
    alarms = []
    monkeypatch.setattr(rollout, "create_markdown_artifact", lambda *_arguments, **_options: None)
    monkeypatch.setattr(rollout, "emit_event", lambda **told: alarms.append(told))
    rt = runtime.Runtime(world.settings)
    monkeypatch.setattr(rollout, "runtime", lambda: rt)
    world.gateway.process.kill()
    world.gateway.process.wait()
    ended_at = datetime.now(UTC) - timedelta(minutes=1)
    CanaryActions(world.engine).abort(world.id, by="user:ben", reason="complaints", now=ended_at)

    _advance()
    unheard = world.store.get(world.id)
    assert (unheard.share, unheard.verified_at) == (0.0, None)
    assert world.gateway.url in unheard.verification
    assert [alarm["payload"]["canary"] for alarm in alarms] == [world.id]
    assert alarms[0]["event"] == "canary.end-not-arrived"

    world.gateway.start()
    _advance()
    rt.engine.dispose()
    assert world.store.get(world.id).verified_at is not None
    assert world.gateway.served() == Served(world.stable())
    assert len(alarms) == 1
