import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from gateway_tuning.processes import free_port

SERVE = (
    "import sys; from gateway_tuning.gateway.serve import serve; "
    "serve(sys.argv[1], '127.0.0.1', int(sys.argv[2]), 5.0, exit_with_parent=True)"
)


@pytest.fixture
def process(registry, until):
    port = free_port()
    url = registry.engine.url.render_as_string()
    child = subprocess.Popen([sys.executable, "-c", SERVE, url, str(port)], stdin=subprocess.PIPE)

    def answers():
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    until(answers, 30)
    body = {"model": "assistant", "messages": [{"role": "user", "content": "hello"}]}
    assert httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body).status_code == 200
    child.url = f"http://127.0.0.1:{port}"
    yield child
    child.kill()
    child.wait()
    child.stdin.close()


def test_a_gateway_that_is_told_to_end_writes_its_outcomes_and_ends_well(process, registry):
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(10) == 0
    assert len(registry.outcomes()) == 1


def test_a_gateway_ends_with_its_parent(process, registry):
    process.stdin.close()  # what the kernel does when the parent dies
    assert process.wait(10) == 0
    assert len(registry.outcomes()) == 1


def test_an_answer_under_way_is_cut_off_and_recorded_when_the_gateway_ends(process, registry):
    registry.serve("v1", "served-pause")
    body = {"model": "assistant", "messages": [{"role": "user", "content": "hello"}], "stream": True}

    def starts_and_waits():
        with httpx.stream("POST", f"{process.url}/v1/chat/completions", json=body, timeout=20) as reply:
            lines = reply.iter_lines()
            assert next(lines).startswith("data: ")
            os.kill(process.pid, signal.SIGTERM)
            list(lines)

    time.sleep(1)  # the new endpoint is read twice a second
    with pytest.raises(httpx.RemoteProtocolError):
        starts_and_waits()
    assert process.wait(10) == 0
    assert [one.error for one in registry.outcomes()] == [None, "interrupted"]
