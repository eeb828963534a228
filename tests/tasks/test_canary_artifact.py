"""What a look leaves in Prefect."""

import pytest

from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from tasks import rollout
from tasks.runtime import Runtime
from tests.unit.rollout.reporting.stories import later, start, traffic


@pytest.fixture
def engine(tmp_path, monkeypatch, migrated_sqlite):
    settings = Settings(_env_file=None, home=tmp_path)
    (tmp_path / "gateway-tuning.db").write_bytes(migrated_sqlite.read_bytes())
    engine = open_database(settings.resolved_database_url)
    rt = Runtime(settings)
    monkeypatch.setattr(rollout, "runtime", lambda: rt)
    yield engine
    rt.engine.dispose()
    engine.dispose()


@pytest.fixture
def artifacts(monkeypatch):
    left = []

    def keep(markdown, *, key, description):
        left.append((key, description, markdown))

    monkeypatch.setattr(rollout, "create_markdown_artifact", keep)
    return left


def test_every_look_leaves_its_decision_and_the_share_over_time(engine, artifacts, monkeypatch):
    start(engine)
    traffic(engine, 1)
    for minute in (2, 3):
        monkeypatch.setattr(rollout, "now", lambda minute=minute: later(minute))
        rollout.advance_canary.fn("c1")

    key, description, told = artifacts[-1]
    assert (len(artifacts), key, description) == (2, "canary", "c1")
    assert told.startswith("# Canary `c1`: hold\n")
    assert "| 10 % | 2026-01-01 00:00 | 3 min | 2 | it goes on |" in told


def test_the_look_that_ends_a_canary_says_so(engine, artifacts, monkeypatch):
    start(engine)
    traffic(engine, 1, likes=0.1)
    traffic(engine, 2, likes=0.1)
    monkeypatch.setattr(rollout, "now", lambda: later(3))

    rollout.advance_canary.fn("c1")

    (told,) = [text for _, _, text in artifacts]
    assert told.startswith("# Canary `c1`: rolled back\n")
    assert "the canary is worse in user feedback" in told
    assert "| 10 % | 2026-01-01 00:00 | 3 min | 1 | rolled back |" in told
