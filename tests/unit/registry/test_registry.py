import pytest

from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.registry.alias_moves import point_alias
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import STABLE, ModelVersion, StoredFile
from gateway_tuning.registry.store import Registry


@pytest.fixture
def registry(engine) -> Registry:
    return Registry(engine)


def version(id_, now):
    files = {"adapter.gguf": StoredFile("models/a", "0" * 64, 3)}
    return ModelVersion(
        id_, "assistant", "base", "llama", now, tenant="t", job_key=id_, files=files, metrics={"loss": 0.5}
    )


def test_a_version_is_registered_once_and_read_back_whole(registry, now):
    first = registry.register(version("v1", now))
    registry.register(version("v1", now))

    assert first == version("v1", now)
    assert registry.versions("assistant") == [first]


def test_an_alias_points_where_it_was_put_and_nowhere_unknown(registry, now):
    registry.register(version("v1", now))
    registry.point("assistant", STABLE, "v1", reason="first", now=now)

    assert registry.resolve("assistant", STABLE).id == "v1"
    with pytest.raises(NotFoundError, match="v9"):
        registry.point("assistant", STABLE, "v9", reason="typo", now=now)


def test_an_alias_that_moved_meanwhile_is_not_overwritten(registry, engine, now):
    registry.register(version("v1", now))
    registry.register(version("v2", now))
    registry.point("assistant", STABLE, "v1", reason="first", now=now)

    with engine.begin() as connection, pytest.raises(ConflictError, match="names v1, not v2"):
        point_alias(connection, "assistant", STABLE, "v2", reason="late", now=now, expected="v2")


def test_an_endpoint_is_replaced_by_the_newest(registry, now):
    registry.set_endpoint("v1", Endpoint("http://one/v1", "m"), now=now)
    registry.set_endpoint("v1", Endpoint("http://two/v1", "m", {"lora": []}, "KEY"), now=now)

    assert registry.endpoint("v1") == Endpoint("http://two/v1", "m", {"lora": []}, "KEY")
