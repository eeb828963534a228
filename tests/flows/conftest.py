"""`gateway-tuning serve-flows` as a person would start it, with a real Prefect server."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from gateway_tuning.processes import free_port

ROOT = Path(__file__).parents[2]


def call(url, body=None):
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def wait_for(condition, seconds=90):
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
    """`url` is of the Prefect API; `home` is where the flows keep their state."""

    url: str
    home: Path

    def deployment(self, name):
        return next(found for found in call(f"{self.url}/deployments/filter", {}) if found["name"] == name)

    def run(self, name, **parameters):
        """Start a run by hand and wait for its end; its state."""
        id_ = self.deployment(name)["id"]
        body = {"parameters": parameters, "idempotency_key": str(uuid4())}
        # Prefect answers 503 while its SQLite is busy.
        run = wait_for(lambda: call(f"{self.url}/deployments/{id_}/create_flow_run", body), 30)
        return wait_for(lambda: self.ended(run["id"]), 150)

    def ended(self, run_id):
        state = call(f"{self.url}/flow_runs/{run_id}")["state"]
        return state if state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

    def runs(self, name):
        """Runs of the deployment that no schedule made."""
        found = call(f"{self.url}/flow_runs/filter", {"deployments": {"name": {"any_": [name]}}})
        return [run for run in found if not run["auto_scheduled"]]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    from deployments.catalog import entries

    home = tmp_path_factory.mktemp("served")
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    with (home / "output.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway_tuning.cli", "serve-flows", "--port", str(port)],
            cwd=ROOT,
            env=environment | {"GATEWAY_TUNING_HOME": str(home)},
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}/api"
    try:
        wait_for(
            lambda: process.poll() is not None or len(call(f"{url}/deployments/filter", {})) == len(entries())
        )
        assert process.poll() is None, (home / "output.log").read_text()
        yield Served(url, home)
    finally:
        process.terminate()
        process.wait(30)
