"""kill -9 of a gateway while it mirrors: the limit holds over all its lives, and its scoring process goes with it."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx
import psutil
import pytest
import sqlalchemy as sa

from gateway_tuning.processes import free_port
from gateway_tuning.rollout.shadows.store import ShadowStore
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import aliases, endpoints
from tests.wire.chat import Chat
from tests.wire.server import running

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
LIMIT = 16
SERVE = (
    "import sys; from gateway_tuning.gateway.serve import serve; "
    "serve(sys.argv[1], '127.0.0.1', int(sys.argv[2]), 20.0, exit_with_parent=True)"
)


@pytest.fixture
def candidate():
    chat = Chat(says=lambda _model, _prompt: "An answer of the candidate.", delay_s=0.05)
    with running(chat) as url:
        chat.url = url
        yield chat


@pytest.fixture
def engine(tmp_path, candidate):
    engine = open_database(f"sqlite:///{tmp_path / 'gateway.db'}")
    with running(Chat(says=lambda _model, _prompt: "An answer of the stable version.")) as stable:
        with engine.begin() as connection:
            row = {"model": "assistant", "alias": "stable", "version_id": "v1", "updated_at": NOW}
            connection.execute(sa.insert(aliases).values(row))
            for version, url in (("v1", stable), ("v2", candidate.url)):
                served = {
                    "base_url": f"{url}/v1",
                    "served_model": version,
                    "extra_body": {},
                    "updated_at": NOW,
                }
                connection.execute(sa.insert(endpoints).values(version_id=version, **served))
        yield engine
    engine.dispose()


class Killable:
    def __init__(self, engine):
        self.url = f"http://127.0.0.1:{free_port()}"
        port = self.url.rpartition(":")[2]
        arguments = [sys.executable, "-c", SERVE, engine.url.render_as_string(), port]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE)
        until(self._answers)

    def _answers(self):
        try:
            return self.ask().status_code == 200
        except httpx.TransportError:
            return False

    def ask(self):
        body = {"model": "assistant", "messages": [{"role": "user", "content": "Where is my order?"}]}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=20)

    def kill(self):
        """Returns its children, who must go with it."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        return children


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.02)


def test_the_limit_of_a_shadow_holds_though_its_gateway_is_killed(engine, candidate):
    store = ShadowStore(engine)
    shadow = store.start(
        "assistant",
        tenant="t",
        candidate="v2",
        share=1.0,
        max_requests=LIMIT,
        budget=None,
        prices=None,
        ends_at=NOW + timedelta(hours=1),
        by="a test",
        now=NOW,
    )
    first = Killable(engine)
    until(lambda: first.ask() and len(candidate.asked) > LIMIT // 4)
    left_behind = first.kill()
    assert len(candidate.asked) <= store.get(shadow.id).requests < LIMIT
    last = Killable(engine)
    until(lambda: last.ask() and store.get(shadow.id).state == "finished")
    for _ in range(20):
        assert last.ask().status_code == 200
    until(lambda: len(store.pairs(shadow.id)) >= LIMIT - 2)  # as many were under way at most
    left_behind += last.kill()

    assert len(candidate.asked) <= store.get(shadow.id).requests == LIMIT
    assert len(candidate.asked) >= len(store.pairs(shadow.id))
    assert left_behind, "no scoring process ran"
    assert psutil.wait_procs(left_behind, timeout=20)[1] == []
