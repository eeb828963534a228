"""`gateway-tuning serve-api` as a process: it starts right, refuses to start wrong, and stops in order."""

import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from gateway_tuning.processes import free_port
from tests.api.conftest import PREFIX

ARGUMENTS = [sys.executable, "-m", "gateway_tuning.cli"]


@pytest.fixture
def environment(tmp_path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_TUNING_")}
    clean.pop("PREFECT_API_URL", None)
    return clean | {"GATEWAY_TUNING_HOME": str(tmp_path)}


@pytest.fixture
def run(environment, tmp_path):
    def run(*arguments, **changes):
        return subprocess.run(
            [*ARGUMENTS, *arguments],
            env=environment | changes,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def start(environment, tmp_path):
    started = []

    def start(*arguments):
        port = free_port()
        process = subprocess.Popen(
            [*ARGUMENTS, "serve-api", "--port", str(port), *arguments],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        end = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).raise_for_status()
            except httpx.TransportError:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < end, "the API did not start"
                time.sleep(0.05)
            else:
                return process, f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stderr.close()


def test_a_key_made_on_the_command_line_opens_the_served_api(run, start):
    key = run("keys", "create", "--name", "ops", "--role", "ModelAdmin", "--tenant", "acme").stdout.strip()
    process, url = start()
    headers = {"authorization": f"Bearer {key}"}

    listed = httpx.get(f"{url}{PREFIX}/api-keys", headers=headers, trust_env=False)
    httpx.delete(f"{url}{PREFIX}/api-keys/anna-smith", headers=headers, trust_env=False)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=30)

    assert listed.status_code == 200
    assert [item["name"] for item in listed.json()["items"]] == ["ops"]
    assert listed.json()["items"][0]["created_by"].startswith("cli:")
    assert process.returncode == 0
    assert '"route": "/api/model-training/api-keys/{key_id}", "status": 404' in log
    assert "anna" not in log
    assert key not in log
    assert "Traceback" not in log


def test_it_ends_with_its_parent_when_asked_to(start):
    process, _ = start("--exit-with-parent")

    process.stdin.close()

    assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"GATEWAY_TUNING_JWT_SECRET": "short", "GATEWAY_TUNING_JWT_ISSUER": "i"}, "JWT_AUDIENCE"),
        (
            {
                "GATEWAY_TUNING_JWT_SECRET": "short",
                "GATEWAY_TUNING_JWT_ISSUER": "i",
                "GATEWAY_TUNING_JWT_AUDIENCE": "a",
            },
            "5 bytes",
        ),
    ],
)
def test_it_does_not_start_with_weak_or_incomplete_token_settings(run, changes, named):
    refused = run("serve-api", **changes)

    assert refused.returncode == 1
    assert named in refused.stderr
    assert "Traceback" not in refused.stderr


def test_workers_share_the_port_and_end_with_their_supervisor_however_it_ends(environment, tmp_path):
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        supervisor = subprocess.Popen(
            [*ARGUMENTS, "serve-api", "--port", str(port), "--workers", "2"],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip

    def answers():
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(answers)
    supervisor.kill()
    supervisor.wait(10)

    wait_until(lambda: not answers())


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
