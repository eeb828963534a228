"""What the API acknowledged is in the store exactly once, whoever is killed meanwhile."""

import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway_tuning.processes import free_port
from gateway_tuning.storage.tables import feedback
from tests.forking import loaded

ROOT = Path(__file__).parents[2]
KILLS = 10  # for each database
CLIENTS = 6


class Api:
    """`gateway-tuning serve-api` as a process, and clients that post for as long as the test wants."""

    def __init__(self, program, key, log):
        self.port = free_port()
        self.acknowledged = []
        self.refused = []
        self._program, self._key, self._log = program, key, log
        self._stopped = threading.Event()

    def start(self):
        self._program.start(["serve-api", "--port", str(self.port)], self._log)
        for _ in range(300):
            try:
                http.client.HTTPConnection("127.0.0.1", self.port, timeout=1).connect()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError(self._log.read_text())

    def kill(self):
        self._program.kill()

    @contextmanager
    def load(self):
        threads = [threading.Thread(target=self._post, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _post(self, client):
        """Batches and single records in turn; an id is never sent twice, so that only the server could double it."""
        number = 0
        connection = None
        while not self._stopped.is_set():
            ids = [f"c{client}-{number + n}" for n in range(1 if client % 2 else 20)]
            number += len(ids)
            body = json.dumps([self._record(id_) for id_ in ids])
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request(
                    "POST", "/api/model-training/feedback", body, {"authorization": f"Bearer {self._key}"}
                )
                answer = connection.getresponse()
                told = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                connection = None
                time.sleep(0.02)
                continue
            if answer.status == 201:
                self.acknowledged += [given["id"] for given in told["receipts"]]
            else:
                self.refused.append(answer.status)

    def _record(self, id_):
        return {
            "id": id_,
            "user_id": id_.partition("-")[0],
            "type": "thumbs_up",
            "prompt": "Where is my order?",
            "response": "On its way.",
            "timestamp": "2026-10-01T12:00:00Z",
        }


@pytest.fixture
def api(engine, tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    environment |= {
        "GATEWAY_TUNING_HOME": str(tmp_path / "home"),
        "GATEWAY_TUNING_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "GATEWAY_TUNING_FEEDBACK_PER_MINUTE": "100000000",
    }
    command = [sys.executable, "-m", "gateway_tuning.cli", "keys", "create", "--name", "app"]
    made = subprocess.run(
        [*command, "--role", "FeedbackWriter"],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    key = next(word for word in made.stdout.split() if word.startswith("gt_"))
    modules = ("gateway_tuning.api.serve", "gateway_tuning.api.app", "psycopg")
    with loaded("gateway_tuning.cli:app", modules=modules, environment=environment) as program:
        yield Api(program, key, tmp_path / "api.log")


def ids_in_the_store(engine):
    with engine.connect() as connection:
        return list(connection.execute(sa.select(feedback.c.id)).scalars())


def assert_all_acknowledged_are_there_once(api, engine):
    found = ids_in_the_store(engine)
    assert len(found) == len(set(found))
    assert set(api.acknowledged) <= set(found)


@pytest.mark.slow
def test_no_acknowledged_record_is_lost_or_doubled_when_the_server_is_killed(api, engine):
    chance = random.Random(7)
    api.start()
    with api.load():
        for _ in range(KILLS):
            before = len(api.acknowledged)
            time.sleep(chance.uniform(0.2, 0.8))
            while len(api.acknowledged) == before:
                time.sleep(0.01)
            api.kill()
            api.start()
    api.kill()

    assert len(api.acknowledged) > KILLS * CLIENTS
    assert_all_acknowledged_are_there_once(api, engine)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_store_that_drops_every_connection_costs_no_acknowledged_record(api, engine):
    chance = random.Random(8)
    api.start()
    drop = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid != pg_backend_pid()"
    )
    dropped = 0
    with api.load():
        for _ in range(20):
            time.sleep(chance.uniform(0.05, 0.2))
            with engine.connect() as connection:
                dropped += connection.execute(drop).scalar_one()
    api.kill()

    assert dropped >= 20
    assert len(api.acknowledged) > 100
    assert set(api.refused) <= {503}
    assert_all_acknowledged_are_there_once(api, engine)
