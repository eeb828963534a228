import shutil

import pytest

from gateway_tuning.evaluation.judging.store import JudgementStore
from gateway_tuning.storage.database import open_database
from tests.wire.faults import Faults
from tests.wire.judge import JudgeServer
from tests.wire.server import running


@pytest.fixture(scope="module")
def wire():
    """One server for a module's tests: the scripted judge, what goes wrong before it, and its address."""
    pytest.importorskip("openai", reason="the openai extra is not installed")
    server, faults = JudgeServer(), Faults()

    async def app(scope, receive, send):
        await faults.around(server.app)(scope, receive, send)

    with running(app) as url:
        yield server, faults, url


@pytest.fixture
def faults(wire):
    wire[1].clear()
    return wire[1]


@pytest.fixture
def server(wire, faults):
    wire[0].__init__()
    return wire[0]


@pytest.fixture
def url(wire):
    return wire[2]


@pytest.fixture
def sqlite(migrated_sqlite, tmp_path):
    """Where nothing depends on the database."""
    shutil.copyfile(migrated_sqlite, tmp_path / "judged.db")
    engine = open_database(f"sqlite:///{tmp_path / 'judged.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def store(sqlite):
    return JudgementStore(sqlite, "default", "ds-1")
