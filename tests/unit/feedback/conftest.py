import os
import pwd
import shutil
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.processes import free_port
from gateway_tuning.storage.database import open_database


@pytest.fixture
def make_record(now):
    """A sound record; what is given replaces its fields."""

    def make(number=1, **changes):
        fields = {
            "id": f"fb-{number}",
            "type": "thumbs_up",
            "prompt": f"Where is order {number}?",
            "response": "It is on its way to you.",
            "timestamp": now - timedelta(hours=number),
        }
        return FeedbackRecord(**{**fields, **changes})

    return make


@pytest.fixture
def store(tmp_path):
    """On SQLite."""
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    yield FeedbackStore(engine)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request, tmp_path):
    """An empty store on each database that it is made for."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'either.db'}"
    else:
        url = _new_database(request.getfixturevalue("postgresql_url"))
    opened = open_database(url)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def postgresql_url():
    """A server of its own on a free loopback port, stopped at the end."""
    binary = shutil.which("postgres")
    if binary is None:
        pytest.skip("no PostgreSQL on this machine")
    binaries = Path(binary).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="feedback-pg-"))
    account = {}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    data, port = folder / "data", free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **account}
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        **quiet,
    )
    options = [
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={folder}",
        "-c",
        "fsync=off",
    ]
    server = subprocess.Popen([binaries / "postgres", "-D", data, "-p", str(port), *options], **quiet)
    url = f"postgresql+psycopg://tests@127.0.0.1:{port}/postgres"
    try:
        _wait_for(url)
        yield url
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder)


def _wait_for(url):
    engine = sa.create_engine(url)
    for _ in range(100):
        try:
            engine.connect().close()
        except sa.exc.OperationalError:
            time.sleep(0.1)
        else:
            engine.dispose()
            return
    raise TimeoutError(f"PostgreSQL did not start at {url}")


def _new_database(url):
    name = f"test_{time.monotonic_ns()}"
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return url.rsplit("/", 1)[0] + f"/{name}"
