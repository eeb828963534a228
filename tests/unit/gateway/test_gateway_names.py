import shutil
from datetime import UTC, datetime

import openai
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.errors import ConfigurationError, ConflictError, NotFoundError
from gateway_tuning.gateway.door.keys import GatewayKeyStore
from gateway_tuning.gateway.door.names import ModelNameStore
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import audit_entries
from gateway_tuning.storage.tenants import claim_model

MESSAGES = [{"role": "user", "content": "hello"}]
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def names(registry):
    return ModelNameStore(registry.engine)


def ask(client, model):
    return client.chat.completions.create(model=model, messages=MESSAGES)


def answers(client, model):
    try:
        return ask(client, model).choices[0].message.content
    except openai.NotFoundError:
        return None


def test_a_name_is_answered_by_its_model_under_the_name_that_was_asked_for(names, registry, start_gateway):
    names.set("gpt-4o", "assistant", by="cli:test", now=NOW)

    answer = ask(start_gateway().client(), "gpt-4o")

    assert (answer.model, answer.choices[0].message.content) == ("gpt-4o", "answer of served-v1")
    assert registry.outcomes(1)[0].model == "assistant"


def test_names_come_change_and_go_without_a_restart(names, registry, start_gateway, until):
    registry.serve("w1", "served-w1")
    registry.point("writer", "w1")
    client = start_gateway().client()
    for change, expected in [
        (lambda: names.set("gpt-4o", "assistant", by="cli:test", now=NOW), "answer of served-v1"),
        (lambda: names.set("gpt-4o", "writer", by="cli:test", now=NOW), "answer of served-w1"),
        (lambda: names.remove("gpt-4o", by="cli:test", now=NOW), None),
    ]:
        change()
        until(lambda wanted=expected: answers(client, "gpt-4o") == wanted, seconds=5)


def test_names_stand_in_the_list_of_models_where_their_model_is_served(names, registry, start_gateway):
    registry.point("unserved", "v404")
    names.set("gpt-4o", "assistant", by="cli:test", now=NOW)
    names.set("gpt-5", "unserved", by="cli:test", now=NOW)
    client = start_gateway().client()

    assert [one.id for one in client.models.list()] == ["assistant", "gpt-4o"]
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")


def test_a_name_with_a_slash_works_everywhere(names, start_gateway):
    names.set("openai/gpt-4o:mini", "assistant", by="cli:test", now=NOW)
    client = start_gateway().client()

    assert client.models.retrieve("openai/gpt-4o:mini").id == "openai/gpt-4o:mini"
    assert answers(client, "openai/gpt-4o:mini") == "answer of served-v1"


def test_a_key_for_a_model_opens_its_names_too(names, registry, start_gateway):
    names.set("gpt-4o", "assistant", by="cli:test", now=NOW)
    _, key = GatewayKeyStore(registry.engine).create(
        "default", "shop", by="cli:test", now=datetime.now(UTC), models=["assistant"]
    )

    assert ask(start_gateway(require_keys=True).client(api_key=key), "gpt-4o").model == "gpt-4o"


def test_a_models_own_name_goes_before_a_name_that_it_had_been_given_earlier(names, registry, start_gateway):
    names.set("writer", "assistant", by="cli:test", now=NOW)
    registry.serve("w1", "served-w1")
    registry.point("writer", "w1")

    assert answers(start_gateway().client(), "writer") == "answer of served-w1"


def test_a_name_cannot_hide_a_model_stand_for_none_or_be_written_oddly(names):
    with pytest.raises(ConflictError, match="a model of the registry"):
        names.set("assistant", "assistant", by="cli:test", now=NOW)
    with pytest.raises(NotFoundError, match="No model 'nothing'"):
        names.set("gpt-4o", "nothing", by="cli:test", now=NOW)
    for odd in ("", " gpt", "a" * 101, "\ud800", "gpt\n4"):
        with pytest.raises(ConfigurationError):
            names.set(odd, "assistant", by="cli:test", now=NOW)
    with pytest.raises(NotFoundError, match="gateway names list"):
        names.remove("gpt-4o", by="cli:test", now=NOW)
    assert names.all() == []


def test_who_set_and_removed_a_name_stands_in_the_audit_log(names, registry):
    names.set("gpt-4o", "assistant", by="cli:one", now=NOW)
    names.remove("gpt-4o", by="cli:two", now=NOW)

    with registry.engine.connect() as connection:
        entries = connection.execute(sa.select(audit_entries).order_by(audit_entries.c.sequence)).all()
    assert [(one.actor, one.action, one.object_id, one.detail) for one in entries] == [
        ("cli:one", "model-name.set", "gpt-4o", {"model": "assistant"}),
        ("cli:two", "model-name.remove", "gpt-4o", {"model": "assistant"}),
    ]


def test_the_commands_set_list_and_remove_names(tmp_path, monkeypatch, migrated_sqlite):
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    engine = open_database(f"sqlite:///{tmp_path / 'gateway-tuning.db'}")
    claim_model(engine, "assistant", "acme", now=NOW)
    engine.dispose()

    def run(*arguments):
        return CliRunner().invoke(app, ["gateway", "names", *arguments])

    assert run("set", "gpt-4o", "assistant").output == "gpt-4o stands for assistant\n"
    assert "gpt-4o  assistant  cli:" in run("list").output
    assert run("remove", "gpt-4o").output == "gpt-4o no longer stands for assistant\n"
    assert run("set", "gpt-4o", "nothing").exit_code == 1
