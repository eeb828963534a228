"""What one registry has comes to another, here both in a store of their own."""

import pytest

from gateway_tuning.errors import NotFoundError
from gateway_tuning.registry.mirror import Mirrored, mirror
from gateway_tuning.registry.model_version import CANDIDATE, STABLE, ModelVersion, StoredFile
from gateway_tuning.registry.statuses import ModelStatus
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage.database import open_database

FILES = {"adapter.gguf": StoredFile("models/a", "0" * 64, 3)}


@pytest.fixture
def engine(tmp_path):
    """One database will do: what a registry does on each is shown by the contract."""
    opened = open_database(f"sqlite:///{tmp_path / 'source.db'}")
    yield opened
    opened.dispose()


@pytest.fixture
def source(engine):
    return Registry(engine)


@pytest.fixture
def target(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'target.db'}")
    yield Registry(engine)
    engine.dispose()


@pytest.fixture
def add(source, now):
    def added(id_, **fields):
        given = {"tenant": "t", "job_key": id_, "files": FILES} | fields
        return source.register(ModelVersion(id_, "assistant", "base", "llama", now, **given))

    return added


def statuses(registry):
    return {version.id: version.status.value for version in registry.versions()}


def test_versions_statuses_and_aliases_come_over_once(source, target, add, now):
    for id_ in ("v1", "v2", "v3"):
        add(id_)
    add("v4", status=ModelStatus.TRAINING, files={})
    source.change_status("v1", ModelStatus.ARCHIVED, reason="old", now=now)
    source.point("assistant", STABLE, "v2", reason="the best", now=now)
    source.point("assistant", "staging/stable", "v3", reason="a try", now=now)

    assert mirror("assistant", source, target, now=now, by="anna") == Mirrored(3, 1, 2)
    assert mirror("assistant", source, target, now=now) == Mirrored(0, 0, 0)

    assert statuses(target) == {"v1": "archived", "v2": "deployed", "v3": "deployed"}
    assert target.aliases("assistant") == source.aliases("assistant")
    assert [(one.reason, one.by) for one in target.alias_changes("assistant")] == [
        ("the best", "anna"),
        ("a try", "anna"),
    ]
    assert target.get("v2").files == FILES


def test_what_changed_since_comes_over(source, target, add, now):
    for id_ in ("v1", "v2"):
        add(id_)
    source.point("assistant", STABLE, "v1", reason="first", now=now)
    source.point("assistant", CANDIDATE, "v2", reason="trained", now=now)
    mirror("assistant", source, target, now=now)
    before = target.aliases("assistant")

    source.point("assistant", CANDIDATE, None, reason="promoted", now=now)
    source.point("assistant", STABLE, "v2", reason="promoted", now=now)
    source.change_status("v1", ModelStatus.ARCHIVED, reason="old", now=now)
    mirror("assistant", source, target, now=now)

    assert before == {"stable": "v1", "candidate": "v2"}
    assert target.aliases("assistant") == {"stable": "v2"}
    assert statuses(target) == {"v1": "archived", "v2": "deployed"}

    source.change_status("v1", ModelStatus.AVAILABLE, reason="again", now=now)
    source.point("assistant", STABLE, "v1", reason="back", now=now)
    mirror("assistant", source, target, now=now)
    assert statuses(target) == {"v1": "deployed", "v2": "available"}


def test_an_erasure_comes_over(source, target, add, now):
    add("v1")
    mirror("assistant", source, target, now=now)

    add("v1", holds_erased_since=now)
    mirror("assistant", source, target, now=now)

    assert target.get("v1").holds_erased_since == now


def test_a_model_without_a_finished_version_is_not_mirrored(source, target, add, now):
    add("v1", status=ModelStatus.CREATED, files={})

    with pytest.raises(NotFoundError, match="No finished version of assistant"):
        mirror("assistant", source, target, now=now)
