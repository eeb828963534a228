"""Where providers serve the models that they tuned."""

import pytest
from pydantic import SecretStr

from gateway_tuning.gateway.door.upstreams import Upstreams
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.serving import tell_hosted
from gateway_tuning.settings import Settings
from gateway_tuning.training.hosting import hosted_endpoint, is_elsewhere
from tests.conftest import NOW

HOSTING = ("openai", "mistral", "together", "fireworks")


def settings(**given):
    return Settings(_env_file=None, **({"openai_api_key": SecretStr("k")} | given))


@pytest.mark.parametrize("provider", HOSTING)
def test_a_gateway_asks_what_a_provider_serves_with_no_more_settings(provider):
    found = hosted_endpoint(provider, "tuned", settings())

    assert Upstreams.parse(None).refusal(found) is None
    assert found.model == "tuned"
    assert found.base_url.endswith("/v1")
    assert found.api_key_env is not None


def test_another_server_with_openais_api_serves_what_it_tuned(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ours = settings(openai_base_url="http://127.0.0.1:8090/v1", openai_api_key=None)

    assert hosted_endpoint("openai", "ft:1", ours) == Endpoint("http://127.0.0.1:8090/v1", "ft:1")


@pytest.mark.parametrize("provider", ["llama", "custom", "bedrock", "echo"])
def test_of_the_others_somebody_has_to_say_it(provider):
    assert hosted_endpoint(provider, "tuned", settings()) is None


@pytest.mark.parametrize("provider", HOSTING)
def test_by_default_jobs_go_to_the_provider_itself(provider):
    assert not is_elsewhere(provider, settings(openai_base_url=None))


def test_a_server_with_openais_api_is_not_openai():
    assert is_elsewhere("openai", settings(openai_base_url="http://127.0.0.1:8090/v1"))
    assert not is_elsewhere("openai", settings(openai_base_url="https://api.openai.com/v1/"))


def version(**given):
    return ModelVersion(
        **{"id": "m@1", "tenant": "t", "model": "m", "base_model": "base", "provider": "openai"}
        | {"created_at": NOW}
        | given
    )


def test_a_tuned_version_is_told_by_its_name_there_and_a_base_model_by_its_own(engine):
    registry = Registry(engine)
    for one in (version(id="m@1", job_key="k", served_model="ft:1"), version(id="m@base")):
        registry.register(one)
        tell_hosted(one, registry=registry, settings=settings(), now=NOW)

    assert registry.endpoint("m@1") == Endpoint(
        "https://api.openai.com/v1", "ft:1", api_key_env="OPENAI_API_KEY"
    )
    assert registry.endpoint("m@base").model == "base"
    assert [one.by for one in registry.endpoint_changes("m@1")] == ["openai"]


def test_what_somebody_said_before_stays(engine):
    registry, one = Registry(engine), version(job_key="k", served_model="ft:1")
    registry.register(one)
    registry.set_endpoint("m@1", Endpoint("https://proxy.example.com/v1", "ours"), now=NOW)

    tell_hosted(one, registry=registry, settings=settings(), now=NOW)

    assert registry.endpoint("m@1").base_url == "https://proxy.example.com/v1"
