"""Shared fixtures: a real metadata store and real object storage in a temporary folder."""

import gc
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore

# On a busy machine a slow example is no finding; time is measured in benchmarks. Each run draws other examples.
_UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("usual", max_examples=50, **_UNTIMED)
settings.register_profile("thorough", max_examples=1_000, **_UNTIMED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))

pytest_plugins = ["tests.postgresql", "tests.s3"]

# PyTorch's threads wait by spinning, and beside another process that takes the core it needs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Prefect's temporary server takes longer than its 20 s to start on two busy cores.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")

# What trains or runs models keeps a core busy for minutes: side by side these take several times as long.
TRAINING = (
    "faults/test_killed_demo.py",
    "contracts/test_providers.py",
    "unit/training/local/",
    "unit/training/cost/test_measured.py",  # for the converted base model
    "e2e/",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With several processes, all that trains goes to one of them, all of one Prefect server to another, else by file.

    The longest begin.
    """
    root = Path(__file__).parent
    groups = {item.path: _group(item.path.relative_to(root).as_posix()) for item in items}
    has_slow = {item.path for item in items if item.get_closest_marker("slow")}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))
    first = ("training", "flows")
    items.sort(key=lambda item: (*(groups[item.path] != one for one in first), item.path not in has_slow))


def _group(path):
    if path.startswith(TRAINING):
        return "training"
    return "flows" if path.startswith("flows/") else path


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    if getattr(session.config.option, "loadgroup", False) and any("@" not in i.nodeid for i in session.items):
        raise pytest.UsageError(
            "pytest-xdist has lost the groups: shared set-ups would be made in each process"
        )
    _freeze()


def _freeze():
    """What is there now stays to the end; looking through it for cycles again and again took up to half of a test."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 10)


NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory) -> Path:
    """A database file with all tables, to be copied: migrating each anew takes most of a test's time."""
    path = tmp_path_factory.mktemp("migrated") / "store.db"
    open_database(f"sqlite:///{path}").dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request, tmp_path) -> sa.Engine:
    """An empty metadata store, on each database that it is made for."""
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), tmp_path / "store.db")
        engine = open_database(f"sqlite:///{tmp_path / 'store.db'}")
        yield engine
        engine.dispose()
        return
    from tests.postgresql import emptied, new_database

    migrated, spare = (
        request.getfixturevalue("migrated_postgresql"),
        request.getfixturevalue("spare_databases"),
    )
    url = spare.pop() if spare else new_database(request.getfixturevalue("postgresql_url"), copy_of=migrated)
    engine = open_database(url)
    yield engine
    engine.dispose()
    if emptied(url, like=migrated):
        spare.append(url)


def give_key(engine: sa.Engine, tenant: str = "default") -> None:
    """The same key each time, so that its users stand in the same splits each time."""
    from gateway_tuning.storage.tables import tenants

    with engine.begin() as connection:
        connection.execute(tenants.insert().values(name=tenant, subject_key="5a" * 32, created_at=NOW))


@pytest.fixture
def objects(tmp_path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path / 'objects'}")


@pytest.fixture
def make_record():
    def make(id_="f1", type_="thumbs_up", **fields) -> FeedbackRecord:
        defaults = {"prompt": "Where is my order?", "response": "It is on its way.", "timestamp": NOW}
        return FeedbackRecord(id=id_, type=type_, **(defaults | fields))

    return make
