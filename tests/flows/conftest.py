"""`gateway-tuning serve-flows` as a person would start it, with a real Prefect server: one for all tests of flows."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from gateway_tuning.processes import free_port

ROOT = Path(__file__).parents[2]


def call(url, body=None, method=None):
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
        method=method,
    )
    for pause in (0.5, 1, 2, 4, 8, 0):  # Prefect answers 503, or late, while its SQLite is busy
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except (urllib.error.HTTPError, TimeoutError) as error:
            if getattr(error, "code", 503) != 503 or not pause:
                raise
        time.sleep(pause)
    return None


def patch(url, body):
    return call(url, body, "PATCH")


def delete(url):
    return call(url, method="DELETE")


def wait_for(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = condition()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s")


@dataclass(frozen=True)
class Served:
    """`url` is of the Prefect API; `home` is where the flows keep their state.

    `pid` is of `serve-flows`. `scheduled` names the deployments that got runs from their schedules. Those of every few
    minutes are paused then: their runs would take the cores from the tests.
    """

    url: str
    home: Path
    pid: int
    environment: dict[str, str]
    scheduled: frozenset[str]

    def command(self, *arguments):
        """What a `gateway-tuning` command at this server prints; it has to succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway_tuning.cli", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deployment(self, name):
        return next(found for found in call(f"{self.url}/deployments/filter", {}) if found["name"] == name)

    def run(self, name, **parameters):
        """Start a run by hand and wait for its end; its state. Again where a scheduled one was under way."""
        id_ = self.deployment(name)["id"]
        for _ in range(20):
            body = {"parameters": parameters, "idempotency_key": str(uuid4())}
            run = call(f"{self.url}/deployments/{id_}/create_flow_run", body)
            state = wait_for(lambda run=run: self.ended(run["id"]), 400)
            if state["type"] != "CANCELLED" or "concurrency" not in (state["message"] or ""):
                break
            time.sleep(3)
        return state

    def ended(self, run_id):
        state = call(f"{self.url}/flow_runs/{run_id}")["state"]
        return state if state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

    def runs(self, name):
        """Runs of the deployment that no schedule made."""
        found = call(f"{self.url}/flow_runs/filter", {"deployments": {"name": {"any_": [name]}}})
        return [run for run in found if not run["auto_scheduled"]]


def scheduled(url):
    """Once every schedule has runs."""
    due = call(f"{url}/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}})
    with_runs = {run["deployment_id"] for run in due}
    found = [one for one in call(f"{url}/deployments/filter", {}) if one["schedules"]]
    if not with_runs >= {one["id"] for one in found}:
        return None
    for one in found:
        if any(schedule["schedule"].get("interval", 3600) < 3600 for schedule in one["schedules"]):
            patch(f"{url}/deployments/{one['id']}", {"paused": True})
    return frozenset(one["name"] for one in found)


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    from deployments.catalog import entries

    home = tmp_path_factory.mktemp("served")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    environment |= {"GATEWAY_TUNING_HOME": str(home)}
    with (home / "output.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway_tuning.cli", "serve-flows", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )

    def ready():
        if process.poll() is not None:
            return True
        deployed = len(call(f"{url}/deployments/filter", {})) == len(entries())
        workers = call(f"{url}/work_pools/tuning/workers/filter", {}) if deployed else []
        return any(worker["status"] == "ONLINE" for worker in workers)

    try:
        wait_for(ready, 300)
        assert process.poll() is None, (home / "output.log").read_text()
        told = environment | {"PREFECT_API_URL": url}
        yield Served(url, home, process.pid, told, wait_for(lambda: scheduled(url)))
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def resumed(served):
    """The same with the schedules of every few minutes on, while the test lasts."""
    paused = [one["id"] for one in call(f"{served.url}/deployments/filter", {}) if one["paused"]]
    for id_ in paused:
        patch(f"{served.url}/deployments/{id_}", {"paused": False})
    yield served
    for id_ in paused:
        patch(f"{served.url}/deployments/{id_}", {"paused": True})
