"""A cycle that nobody carries goes on, three times at most; one that somebody cancelled stays where it is."""

from datetime import timedelta

import pytest

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.registry.model_version import STABLE, ModelVersion
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.run import Intent, RunKind
from gateway_tuning.settings import Settings
from gateway_tuning.storage import leases
from tasks import reconciliation
from tasks.runtime import Runtime
from tests.conftest import NOW
from tests.orchestrator import MemoryOrchestrator

HOUR = timedelta(hours=1)
PLAN = CyclePlan(tenant="acme", model="acme-bot")


class Prefect(MemoryOrchestrator):
    """With what only Prefect's own API knows: which runs are under way, and an end that somebody else tells of."""

    def __init__(self):
        super().__init__()
        self.crashed = {}

    def under_way(self, deployment, *, now):
        return [
            parameters
            for key, (started, parameters, _) in self.started.items()
            if started == deployment and not self.runs[f"o-{key}"].status.is_terminal
        ]

    def silent(self, *, unstarted_s, silent_s, now):
        return {id_: "silent" for id_, run in self.runs.items() if not run.status.is_terminal}

    def crash(self, run_id, message):
        self.crashed[run_id] = message
        self.turn(run_id, RunStatus.FAILED, message, crashed=True)


class Clock:
    now = NOW + HOUR


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rt(tmp_path, engine, monkeypatch, clock):
    found = Runtime(Settings(home=tmp_path, database_url=engine.url.render_as_string(hide_password=False)))
    vars(found)["prefect"] = Prefect()
    monkeypatch.setattr(reconciliation, "runtime", lambda: found)
    monkeypatch.setattr(reconciliation, "now", lambda: clock.now)
    yield found
    found.engine.dispose()


@pytest.fixture
def cycle(rt):
    """A run carried it and is at work."""
    made = rt.cycles.open(
        tenant="acme", model="acme-bot", plan=PLAN.model_dump(mode="json"), watermark=1,
        incumbent="acme-bot@0", started_by="user:anna", now=NOW,
    )  # fmt: skip
    carry(rt, made, rt.prefect.start(RunKind.TUNING_CYCLE.deployment, {"plan": made.plan}, key="first").id)
    return made


def carry(rt, cycle, run_id, at=NOW):
    """By a process of another host, whose lease runs for a minute."""
    lease = leases.acquire(rt.engine, cycle.lease_name, owner=f"elsewhere|1|{run_id}", now=at, seconds=60)
    rt.cycles.carried_by(cycle.id, run_id, lease=lease)
    return lease


def restart():
    return reconciliation.restart_cycles.fn(60)


def restarts(rt):
    return [key for key in rt.prefect.started if "restart" in key]


def test_a_cycle_whose_run_crashed_goes_on_with_its_own_plan(rt, cycle):
    rt.prefect.turn("o-first", RunStatus.FAILED, crashed=True)

    told = restart()

    assert told == {cycle.id: f"lost its process; restart 1 is run o-cycle {cycle.id}:restart-1"}
    deployment, parameters, _ = rt.prefect.started[f"cycle {cycle.id}:restart-1"]
    assert (deployment, parameters) == ("tuning-cycle/tuning-cycle", {"plan": cycle.plan})
    assert restart() == {}  # its run is under way


def test_a_silent_run_is_ended_unless_it_holds_the_lease_of_its_cycle(rt, cycle, clock):
    carry(rt, cycle, "o-first", at=clock.now)
    rt.prefect.start("report-shadow/report-shadow", {}, key="other")

    assert reconciliation.end_silent_runs.fn(900, 530) == {"o-other": "silent"}
    assert list(rt.prefect.crashed) == ["o-other"]

    clock.now += HOUR
    assert reconciliation.end_silent_runs.fn(900, 530) == {"o-first": "silent"}


def test_one_that_is_carried_is_left_to_whoever_carries_it(rt, cycle, clock):
    rt.prefect.turn("o-first", RunStatus.FAILED, crashed=True)
    carry(rt, cycle, "o-first", at=clock.now)

    assert restart() == {}


def test_a_run_that_prefect_takes_for_running_is_ended_there_once_its_lease_has_run_out(rt, cycle):
    started = rt.prefect.started.pop("first")  # so that it is not under way by its parameters
    rt.prefect.runs["o-first"] = rt.prefect.runs["o-first"].__class__("o-first", RunStatus.RUNNING)

    assert "lost its process; restart 1" in restart()[cycle.id]
    assert "nobody holds the lease" in rt.prefect.crashed["o-first"]
    assert started[1] == {"plan": cycle.plan}


def test_a_cancelled_run_was_somebodys_decision(rt, cycle):
    rt.prefect.turn("o-first", RunStatus.CANCELLED)

    assert restart()[cycle.id].startswith("left alone: run o-first was cancelled")
    assert restarts(rt) == []


def test_after_three_restarts_it_is_told_once_and_tried_no_more(rt, cycle, clock):
    rt.prefect.turn("o-first", RunStatus.FAILED)
    for number in (1, 2, 3):
        clock.now += HOUR
        run = f"o-cycle {cycle.id}:restart-{number}"
        assert f"restart {number} is run {run}" in restart()[cycle.id]
        carry(rt, cycle, run, at=clock.now - HOUR / 2)
        rt.prefect.turn(run, RunStatus.FAILED)

    for _ in range(3):
        clock.now += HOUR
        assert restart() == {cycle.id: "has a run that failed; not tried any more"}

    assert len(restarts(rt)) == 3
    assert {event.name for event in rt.prefect.events} == {"cycle.given-up"}
    assert len({event.id for event in rt.prefect.events}) == 1


def test_a_stage_that_was_finished_gives_it_another_three(rt, cycle, clock):
    rt.prefect.turn("o-first", RunStatus.FAILED)
    for number in (1, 2, 3):
        clock.now += HOUR
        restart()
        rt.prefect.turn(f"o-cycle {cycle.id}:restart-{number}", RunStatus.FAILED)
    lease = carry(rt, cycle, "o-first", at=clock.now)
    rt.cycles.record_stage(
        cycle.id, "dataset", StageResult(id="ds"), seconds=1, lease=lease, now=clock.now + HOUR / 2
    )
    clock.now += HOUR

    assert "restart 4 is run" in restart()[cycle.id]


def test_a_cycle_that_waits_for_another_canary_is_left_alone_until_that_has_ended(rt, cycle, clock):
    for version in ("acme-bot@0", "acme-bot@1"):
        rt.registry.register(
            ModelVersion(
                id=version, tenant="acme", model="acme-bot", base_model="b", provider="llama", created_at=NOW
            )
        )
    rt.registry.point("acme-bot", STABLE, "acme-bot@0", reason="a test", now=NOW)
    rt.canaries.start(
        "other", tenant="acme", model="acme-bot", candidate="acme-bot@1", control="acme-bot@0",
        policy=PLAN.canary, now=clock.now,
    )  # fmt: skip
    rt.cycles.waits(cycle.id, "canary other of acme-bot has to end first")
    rt.prefect.turn("o-first", RunStatus.SUCCEEDED)

    assert restart() == {}
    CanaryActions(rt.engine).abort("other", by="user:anna", reason="a test", now=clock.now)
    assert restart()[cycle.id].startswith("has waited; restart 1 is run")


def test_a_run_of_the_api_that_waits_to_be_started_goes_first(rt, cycle):
    rt.prefect.turn("o-first", RunStatus.FAILED, crashed=True)
    plan = {"plan": PLAN.model_dump(mode="json")}
    rt.runs.intend(Intent("run-1", "acme", RunKind.TUNING_CYCLE, plan, "user:anna", "0" * 64), now=NOW)

    assert restart() == {}


def test_nothing_is_asked_of_prefect_where_nothing_is_unfinished(rt):
    rt.prefect.answers = False

    assert restart() == {}


def test_runs_of_the_api_are_heard_of_again(rt, clock):
    intents = [Intent(f"run-{n}", "acme", RunKind.DATASET, {}, "user:anna", "0" * 64) for n in range(3)]
    for intent in intents:
        rt.runs.start(rt.runs.intend(intent, now=NOW), rt.prefect, now=NOW)
    rt.prefect.turn("o-run-0", RunStatus.FAILED, crashed=True)
    rt.prefect.turn("o-run-1", RunStatus.SUCCEEDED)

    told = reconciliation.hear_of_runs.fn(60)

    assert told == {
        "run-0": "queued: its process was lost; it is started again",
        "run-1": "succeeded",
    }
