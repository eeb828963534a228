"""kill -9 of a run's process, with the real Prefect: the run goes on under its own id."""

import os
import signal
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.prefect_api import PrefectApi
from gateway_tuning.runs.restarts import RestartStore
from gateway_tuning.runs.run import Intent, RunKind
from gateway_tuning.runs.store import RunStore
from gateway_tuning.storage.database import open_database
from tests.flows.conftest import call, wait_for

pytestmark = pytest.mark.slow


def now():
    return datetime.now(UTC)


@pytest.fixture
def engine(served):
    engine = open_database(f"sqlite:///{served.home / 'gateway-tuning.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def prefect(served):
    api = PrefectApi(served.url, timeout_s=60)
    yield api
    api.close()


def process_of(flow_run_id):
    """Linux tells the environment with which a process was begun."""
    wanted = f"PREFECT__FLOW_RUN_ID={flow_run_id}".encode()
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            found = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in found:
            return int(place.parent.name)
    return None


def test_a_run_whose_process_is_killed_is_started_again_and_comes_to_its_end(served, engine, prefect):
    store = RunStore(engine)
    plan = {"tenant": "killed", "model": "killed-bot"}
    intent = Intent("run-killed", "killed", RunKind.TUNING_CYCLE, {"plan": plan}, "user:anna", "0" * 64)
    first = store.start(store.intend(intent, now=now()), prefect, now=now())

    os.kill(wait_for(lambda: process_of(first.orchestrator_id), 180), signal.SIGKILL)
    wait_for(lambda: call(f"{served.url}/flow_runs/{first.orchestrator_id}")["state"]["type"] == "CRASHED")
    # The worker tells of it where its hooks can run; where they could not, this look does.
    assert served.run("reconcile-runs", grace_seconds=0)["type"] == "COMPLETED"
    assert [one.reason for one in RestartStore(engine).of("run-killed")] == ["crashed"]
    assert served.run("check-threshold", grace_seconds=0)["type"] == "COMPLETED"

    again = wait_for(lambda: ended(store, "run-killed"), 400)
    assert again.status is RunStatus.SUCCEEDED
    assert again.orchestrator_id != first.orchestrator_id


def ended(store, run_id):
    run = store.get(run_id)
    return run if run.status.is_terminal else None


def test_a_run_that_lost_its_worker_too_is_told_crashed_by_the_reconciliation(served, prefect):
    """As a worker leaves it that dies between taking a run and starting its process."""
    id_ = served.deployment("report-shadow")["id"]
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2090-01-01T00:00:00Z"}}
    body = {"parameters": {"shadow_id": "none"}, "state": later}
    run = call(f"{served.url}/deployments/{id_}/create_flow_run", body)
    pending = {"state": {"type": "PENDING"}, "force": True}
    call(f"{served.url}/flow_runs/{run['id']}/set_state", pending)

    assert prefect.silent(unstarted_s=3600, silent_s=3600, now=now()).get(run["id"]) is None
    told = wait_for(lambda: prefect.silent(unstarted_s=0, silent_s=3600, now=now()).get(run["id"]), 30)
    assert told.startswith("no process has begun it since")
    prefect.crash(run["id"], told)
    prefect.crash(run["id"], "told again")

    seen = prefect.read(run["id"])
    assert (seen.status, seen.crashed, seen.message) == (RunStatus.FAILED, True, told)


def worker(served):
    for one in psutil.Process(served.pid).children():
        with suppress(psutil.NoSuchProcess):  # one that has just ended has no command
            if "deployments.worker" in one.cmdline():
                return one
    return None


def test_a_worker_that_is_killed_is_followed_by_another_that_takes_the_next_run(served):
    first = worker(served)
    first.kill()

    wait_for(lambda: worker(served) not in {None, first})
    assert served.run("check-threshold", grace_seconds=0)["type"] == "COMPLETED"
