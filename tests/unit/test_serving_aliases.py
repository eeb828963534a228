"""Local versions, served by real servers for as long as anything names them."""

import shutil

import httpx
import psutil
import pytest
import sqlalchemy as sa

from gateway_tuning import serving_aliases
from gateway_tuning.registry.model_version import CANDIDATE, STABLE, ModelVersion, StoredFile
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.serving_aliases import ServedAliases
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.training.local.model.weights import BASE_MODEL
from gateway_tuning.training.local.serving.server import KEY_ENV, MODULE
from tests.conftest import NOW

pytestmark = pytest.mark.slow
KEY = "of-the-tests"


@pytest.fixture
def engine(tmp_path, migrated_sqlite):
    """One store is enough: what is shown here is about servers."""
    shutil.copyfile(migrated_sqlite, tmp_path / "store.db")
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def told():
    return []


@pytest.fixture
def registry(engine):
    found = Registry(engine)
    for version_id in ("m@1", "m@2"):
        found.register(version(version_id))
    return found


@pytest.fixture
def served(engine, tmp_path, monkeypatch, told):
    monkeypatch.setenv(KEY_ENV, KEY)
    settings = Settings(_env_file=None, home=tmp_path)
    with ServedAliases(
        "m",
        engine=engine,
        objects=ObjectStore.from_settings(settings),
        settings=settings,
        told=lambda *given: told.append(given),
    ) as found:
        yield found
    assert servers() == []


def version(version_id, **given):
    return ModelVersion(
        **{"id": version_id, "tenant": "t", "model": "m", "base_model": BASE_MODEL, "provider": "llama"}
        | {"created_at": NOW}
        | given
    )


def servers():
    """Running ones of this process."""
    children = psutil.Process().children(recursive=True)
    return [
        one for one in children if one.status() != psutil.STATUS_ZOMBIE and MODULE in " ".join(one.cmdline())
    ]


def models_at(endpoint):
    answer = httpx.get(
        f"{endpoint.base_url}/models", headers={"authorization": f"Bearer {KEY}"}, trust_env=False
    )
    return answer.status_code


def test_what_an_alias_comes_to_name_is_served_and_what_died_is_served_again(registry, served, told):
    served.look()
    assert served.versions == []

    registry.point("m", STABLE, "m@1", reason="a test", now=NOW)
    served.look()
    assert served.versions == ["m@1"]
    assert models_at(registry.endpoint("m@1")) == 200

    first = registry.endpoint("m@1")
    (server,) = servers()
    server.kill()
    server.wait()
    served.look()

    assert models_at(registry.endpoint("m@1")) == 200
    assert [version_id for version_id, _ in told] == ["m@1", "m@1"]
    assert told[0][1] == first


def test_a_version_is_left_once_nothing_names_it_and_not_while_its_canary_runs(
    registry, served, engine, monkeypatch
):
    monkeypatch.setattr(serving_aliases, "LEAVE_SECONDS", -1.0)
    registry.point("m", STABLE, "m@1", reason="a test", now=NOW)
    registry.point("m", CANDIDATE, "m@2", reason="a test", now=NOW)
    canary = CanaryStore(engine).start(
        "c", tenant="t", model="m", candidate="m@2", control="m@1", policy=CanaryPolicy(), now=NOW
    )
    served.look()
    registry.point("m", CANDIDATE, None, reason="a test", now=NOW)
    for _ in range(3):
        served.look()
    assert served.versions == ["m@1", "m@2"]

    end(engine, canary.id)
    for _ in range(2):
        served.look()
    assert served.versions == ["m@1"]


def test_what_cannot_be_served_keeps_no_other_from_users(registry, served):
    broken = {"adapter.gguf": StoredFile("models/none/adapter.gguf", "0" * 64, 1)}
    registry.register(version("m@3", files=broken))
    registry.point("m", CANDIDATE, "m@3", reason="a test", now=NOW)
    registry.point("m", STABLE, "m@1", reason="a test", now=NOW)

    served.look()

    assert served.versions == ["m@1"]


def end(engine, canary_id):
    from gateway_tuning.storage.tables import canaries

    with engine.begin() as connection:
        connection.execute(
            sa.update(canaries)
            .where(canaries.c.id == canary_id)
            .values(state="inconclusive", finished_at=NOW)
        )
