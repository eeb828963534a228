"""A gateway that is killed in a canary, or loses its store: users stay where they are and are answered."""

import http.client
import json
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from gateway_tuning.processes import free_port
from gateway_tuning.rollout.assignment import arm, bucket, named
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import aliases, canaries, endpoints, outcomes
from tests.conftest import NOW
from tests.postgresql import _binaries, running_postgresql
from tests.wire.chat import Chat
from tests.wire.server import running

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
KILLS = 2
CLIENTS = 4
USERS = [f"user-{number}" for number in range(60)]
SALT, SHARE = "the salt of the canary", 0.5
READ_S = 0.5  # an answer may be read after its gateway is dead; no gateway starts that fast
UNWRITTEN_S = 3.0  # the gateway writes five times a second; the rest is for a busy machine


def arm_of(user):
    return arm(bucket(SALT, "c1", named(user)), SHARE)


def version_of(user):
    return "v2" if arm_of(user) == "canary" else "v1"


@dataclass(frozen=True)
class Answer:
    id: str
    user: str
    version: str
    at: float


class Gateway:
    """`gateway-tuning serve-gateway` as a process, and clients that ask for as long as the test wants."""

    def __init__(self, database_url, folder):
        self.port = free_port()
        self.answers = []
        self.refused = []
        self._log = folder / "gateway.log"
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL")}
        self._environment |= {
            "GATEWAY_TUNING_HOME": str(folder / "home"),
            "GATEWAY_TUNING_DATABASE_URL": database_url,
            "GATEWAY_TUNING_RELEVANCE_SHARE": "0",
        }

    def start(self):
        command = [sys.executable, "-m", "gateway_tuning.cli", "serve-gateway", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, cwd=ROOT, stdout=log, stderr=log)
        for _ in range(400):
            try:
                return self.health()
            except OSError:
                assert self.process.poll() is None, self._log.read_text()
                time.sleep(0.05)
        raise TimeoutError(self._log.read_text())

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def end(self):
        self.process.terminate()
        return self.process.wait(20)

    def health(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/healthz")
        return json.loads(connection.getresponse().read())

    @contextmanager
    def load(self):
        stopped = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(number, stopped)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            for thread in threads:
                thread.join()

    def visit(self, users=USERS):
        """Asks once for each user; their answers."""
        before = len(self.answers)
        connection = None
        for user in users:
            connection = self._chat(connection, user)
        return self.answers[before:]

    def _ask(self, number, stopped):
        connection = None
        while not stopped.is_set():
            number += CLIENTS
            try:
                connection = self._chat(connection, USERS[number % len(USERS)])
            except (OSError, http.client.HTTPException):
                connection = None
                time.sleep(0.02)

    def _chat(self, connection, user):
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = {"model": "assistant", "user": user, "messages": [{"role": "user", "content": "hello"}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        reply = connection.getresponse()
        reply.read()
        if reply.status == 200:
            id_, version = (reply.getheader(f"x-gateway-{name}") for name in ("answer-id", "model-version"))
            self.answers.append(Answer(id_, user, version, time.monotonic()))
        else:
            self.refused.append(reply.status)
        return connection


class Postgres:
    """A server that can be stopped and started again."""

    def __init__(self, url):
        self.url = url
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            self._data = Path(connection.execute("SHOW data_directory").fetchone()[0])
        self._port = url.rpartition(":")[2].partition("/")[0]
        self._server = None

    def stop(self):
        pid_file = self._data / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGINT)
        until(lambda: not pid_file.exists())
        if self._server is not None:
            self._server.wait(10)

    def start(self):
        account = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={self._data.parent}", "fsync=off"]
        options = [part for setting in settings for part in ("-c", setting)]
        self._server = subprocess.Popen(
            [_binaries() / "postgres", "-D", self._data, "-p", self._port, *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._data.parent, **account,
        )  # fmt: skip
        until(self._answers)

    def _answers(self):
        try:
            psycopg.connect(self.url.replace("+psycopg", ""), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def model():
    with running(Chat()) as address:
        yield f"{address}/v1"


@pytest.fixture
def gateways(tmp_path):
    """Makes the gateway of a database; what is left of it at the end is killed."""
    made = []

    def make(url):
        made.append(Gateway(url, tmp_path))
        return made[-1]

    yield make
    for gateway in made:
        if gateway.process.poll() is None:
            gateway.kill()


@pytest.fixture
def sqlite_engine(tmp_path, migrated_sqlite):
    shutil.copyfile(migrated_sqlite, tmp_path / "store.db")
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    yield engine
    engine.dispose()


def begin_canary(engine, model):
    row = {"extra_body": {}, "api_key_env": None, "updated_at": NOW, "base_url": model}
    with engine.begin() as connection:
        for version in ("v1", "v2"):
            connection.execute(
                sa.insert(endpoints).values(version_id=version, served_model=f"served-{version}", **row)
            )
        connection.execute(
            sa.insert(aliases).values(model="assistant", alias="stable", version_id="v1", updated_at=NOW)
        )
        connection.execute(
            sa.insert(canaries).values(
                id="c1", tenant="t", model="assistant", candidate="v2", control="v1", policy={}, salt=SALT,
                state="running", stage=0, share=SHARE, looks=0, reasons=[], started_at=NOW, stage_started_at=NOW,
            )
        )  # fmt: skip


def stored(engine):
    """Every outcome by its answer's id."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(outcomes)).all()
    return {row.answer_id: row for row in rows}


def assert_everybody_stayed(answers):
    assert {(one.user, one.version) for one in answers} == {
        (one.user, version_of(one.user)) for one in answers
    }
    assert {one.version for one in answers} == {"v1", "v2"}


def test_killed_in_a_canary_it_leaves_every_user_where_they_are_and_counts_what_they_saw(
    sqlite_engine, model, gateways
):
    begin_canary(sqlite_engine, model)
    gateway = gateways(sqlite_engine.url.render_as_string())
    gateway.start()
    kills = []
    with gateway.load():
        for _ in range(KILLS):
            before = len(stored(sqlite_engine))
            until(lambda before=before: len(stored(sqlite_engine)) > before + 100)
            gateway.kill()
            kills.append(time.monotonic())
            gateway.start()
        seen = len(gateway.answers)
        until(lambda: len(gateway.answers) > seen + 50)
    assert gateway.end() == 0

    assert gateway.refused == []
    assert_everybody_stayed(gateway.answers)
    rows = stored(sqlite_engine)
    missing = [one for one in gateway.answers if one.id not in rows]
    # Lost is at most what was in memory; what came before it and after the last start is there.
    assert all(any(-READ_S < kill - one.at < UNWRITTEN_S for kill in kills) for one in missing)
    kept = [one for one in gateway.answers if one.id in rows]
    assert Counter(rows[one.id].arm for one in kept) == Counter(arm_of(one.user) for one in kept)
    assert len(rows) - len(kept) <= KILLS * CLIENTS  # answered, and the answer died on its way
    assert {row.canary_id for row in rows.values()} == {"c1"}


def test_cut_off_from_postgresql_it_answers_everybody_as_before_and_writes_all_of_it_later(model, gateways):
    with running_postgresql() as url:
        server, engine = Postgres(url), open_database(url)
        begin_canary(engine, model)
        engine.dispose()
        gateway = gateways(url)
        gateway.start()
        gateway.visit()
        server.stop()
        with gateway.load():
            until(lambda: gateway.health()["routes"]["error"] and gateway.health()["outcomes"]["error"])
            seen = len(gateway.answers)
            until(lambda: len(gateway.answers) > seen + 200)
        cut = gateway.health()
        assert (cut["status"], cut["outcomes"]["lost"], gateway.refused) == ("degraded", 0, [])
        assert cut["outcomes"]["pending"] >= 200
        server.start()
        until(lambda: gateway.health()["outcomes"]["pending"] == 0)

        rows = stored(engine)
        assert_everybody_stayed(gateway.answers)
        assert rows.keys() == {one.id for one in gateway.answers}
        assert all(rows[one.id].arm == arm_of(one.user) for one in gateway.answers)
        assert gateway.end() == 0

        _starts_without_its_store(gateway, server, engine)
        engine.dispose()
        assert gateway.end() == 0
        server.stop()


def _starts_without_its_store(gateway, server, engine):
    engine.dispose()
    server.stop()
    assert gateway.start()["status"] == "degraded"
    without = gateway.visit()
    assert {one.version for one in without} == {"v1"}  # a canary that ended meanwhile must not come back
    server.start()
    until(lambda: gateway.health()["outcomes"]["pending"] == 0 and not gateway.health()["routes"]["error"])
    assert_everybody_stayed(gateway.visit())
    rows = stored(engine)
    assert {(rows[one.id].arm, rows[one.id].canary_id) for one in without} == {("stable", None)}


def test_while_sqlite_is_locked_it_answers_and_writes_once_the_lock_is_gone(sqlite_engine, model, gateways):
    begin_canary(sqlite_engine, model)
    gateway = gateways(sqlite_engine.url.render_as_string())
    gateway.start()
    holder = sqlite3.connect(sqlite_engine.url.database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    answers = gateway.visit() + gateway.visit()
    assert len(answers) == 2 * len(USERS)
    assert gateway.health()["outcomes"]["pending"] == len(answers)
    holder.execute("ROLLBACK")
    holder.close()
    until(lambda: gateway.health()["outcomes"]["pending"] == 0)

    assert_everybody_stayed(answers)
    assert stored(sqlite_engine).keys() == {one.id for one in answers}
    assert gateway.end() == 0
