"""`gateway-tuning models endpoint`: where a version answers."""

import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from tests.conftest import NOW

ADDRESS = "http://127.0.0.1:9000/v1"


@pytest.fixture
def registry(engine, monkeypatch, tmp_path):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("GATEWAY_TUNING_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    found = Registry(engine)
    found.register(
        ModelVersion(id="m@1", tenant="default", model="m", base_model="b", provider="custom", created_at=NOW)
    )
    return found


def run(*arguments):
    return CliRunner().invoke(app, ["models", "endpoint", *arguments])


def test_what_is_said_counts_and_what_was_before_is_shown(registry):
    assert run("m@1", ADDRESS, "--served-model", "ours", "--key-variable", "KEY").exit_code == 0
    assert registry.endpoint("m@1") == Endpoint(ADDRESS, "ours", api_key_env="KEY")

    run("m@1", "http://127.0.0.1:9001/v1/", "--served-model", "ours")
    shown = run("m@1").output

    assert ADDRESS in shown
    assert "http://127.0.0.1:9001/v1 " in shown


def test_a_gateway_that_would_not_ask_there_is_told_of_at_once(registry):
    said = run("m@1", "https://vllm.example.com/v1", "--served-model", "ours")

    assert said.exit_code == 0
    assert "list it in GATEWAY_TUNING_GATEWAY_UPSTREAMS as vllm.example.com:443" in said.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("m@1", ADDRESS), "give it by --served-model"),
        (("m@1", "http://127.0.0.1:9000", "--served-model", "x"), "give it with /v1 at its end"),
        (("m@2",), "m@2"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_remedy(registry, arguments, told):
    said = run(*arguments)

    assert said.exit_code == 1
    assert told in said.output.replace("\n", " ")
