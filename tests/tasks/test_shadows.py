"""The report of a shadow on a real store, without Prefect."""

import shutil
from datetime import timedelta

import pytest

from gateway_tuning.errors import NotFoundError
from gateway_tuning.rollout.shadows.shadow import Pair
from gateway_tuning.settings import Settings
from tasks import shadows
from tasks.runtime import Runtime
from tests.conftest import NOW
from tests.rollouts import shadow_store, start_shadow

AFTER = NOW + timedelta(days=2)


@pytest.fixture
def artifacts(monkeypatch):
    """There is no Prefect here to show anything."""
    shown = []
    monkeypatch.setattr(shadows, "create_markdown_artifact", lambda text, **_: shown.append(text))
    return shown


@pytest.fixture
def store(tmp_path, migrated_sqlite, monkeypatch):
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    found = Runtime(Settings(_env_file=None, home=tmp_path))
    monkeypatch.setattr(shadows, "runtime", lambda: found)
    monkeypatch.setattr(shadows, "now", lambda: AFTER)
    yield shadow_store(found.engine)
    found.engine.dispose()


def test_a_shadow_whose_time_is_over_is_ended_and_reported(store, artifacts):
    shadow = start_shadow(store)
    pair = Pair(shadow.id, "a1", "key", NOW, {"failed": 0.0}, {"failed": 1.0}, 1.0, None, "timeout", None)
    store.record(pair, bound=None, charged=None)

    assert shadows.report_shadow.fn(shadow.id) == "inconclusive"

    assert store.get(shadow.id).state == "finished"
    assert "the candidate failed 1 times: timeout" in artifacts[0]
    assert "still runs" not in artifacts[0]


def test_a_shadow_that_nobody_started_has_no_report(store, artifacts):
    with pytest.raises(NotFoundError, match="shadow list"):
        shadows.report_shadow.fn("s9")
    assert artifacts == []
