"""The report of a shadow on a real store, without Prefect."""

import shutil
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.rollout.shadows.shadow import Pair
from gateway_tuning.rollout.shadows.store import ShadowStore
from gateway_tuning.settings import Settings
from gateway_tuning.storage.tables import aliases, endpoints
from tasks import shadows
from tasks.runtime import Runtime
from tests.conftest import NOW

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
    with found.engine.begin() as connection:
        row = {"model": "assistant", "alias": "stable", "version_id": "v1", "updated_at": NOW}
        connection.execute(sa.insert(aliases).values(row))
        served = {"base_url": "http://x/v1", "served_model": "x", "extra_body": {}, "updated_at": NOW}
        connection.execute(sa.insert(endpoints).values(version_id="v2", **served))
    yield ShadowStore(found.engine)
    found.engine.dispose()


def test_a_shadow_whose_time_is_over_is_ended_and_reported(store, artifacts):
    shadow = store.start(
        "assistant",
        tenant="t",
        candidate="v2",
        share=1.0,
        max_requests=10,
        budget=None,
        prices=None,
        ends_at=NOW + timedelta(days=1),
        by="a test",
        now=NOW,
    )
    pair = Pair(shadow.id, "a1", "key", NOW, {"failed": 0.0}, {"failed": 1.0}, 1.0, None, "timeout", None)
    store.record(pair, bound=None, charged=None)

    assert shadows.report_shadow.fn(shadow.id) == "inconclusive"

    assert store.get(shadow.id).state == "finished"
    assert "the candidate failed 1 times: timeout" in artifacts[0]
    assert "still runs" not in artifacts[0]


def test_a_shadow_that_nobody_started_has_no_report(store, artifacts):
    with pytest.raises(NotFoundError, match="shadow status"):
        shadows.report_shadow.fn("s9")
    assert artifacts == []
