"""`gateway-tuning keys` and `gateway-tuning audit`."""

import re

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from gateway_tuning.access.keys import KeyStore
from gateway_tuning.access.principal import Principal
from gateway_tuning.cli import app
from gateway_tuning.storage.database import open_database


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")

    def invoke(*arguments):
        return CliRunner().invoke(app, arguments)

    return invoke


@pytest.fixture
def create(run):
    def create(*arguments):
        made = run("keys", "create", "--name", "shop", "--role", "FeedbackWriter", *arguments)
        assert made.exit_code == 0, made.output
        return made.stdout.strip()

    return create


def test_a_created_key_is_good_listed_without_its_secret_and_dead_once_revoked(run, create, tmp_path, now):
    text = create("--tenant", "acme", "--days", "30")
    key_id, secret = text.split("_", 2)[1:]
    engine = open_database(f"sqlite:///{tmp_path / 'gateway-tuning.db'}")
    store = KeyStore(engine)

    good = store.verify(text, now)
    listed = run("keys", "list").output
    revoked = run("keys", "revoke", key_id)
    dead = store.verify(text, now)
    store.close()
    engine.dispose()

    assert isinstance(good, Principal)
    assert (good.tenant, good.id) == ("acme", f"key:{key_id}")
    assert re.search(rf"{key_id} +acme +shop +FeedbackWriter", listed)
    assert secret not in listed
    assert revoked.exit_code == 0
    assert not isinstance(dead, Principal)


def test_what_was_done_with_keys_stands_in_the_audit_log_which_verifies(run, create):
    key_id = create().split("_")[1]
    run("keys", "revoke", key_id)

    listed, verified = run("audit", "list").output, run("audit", "verify")

    assert re.search(rf"cli:\S+ +api-key\.revoke +{key_id} +done", listed)
    assert re.search(rf"cli:\S+ +api-key\.create +{key_id} +done", listed)
    assert verified.exit_code == 0
    assert "2 entries, intact; head " in verified.output


def test_a_log_that_was_changed_or_cut_ends_with_code_1(run, create, tmp_path):
    create()
    head = run("audit", "verify").output.split()[-1]
    kept = run("audit", "verify", "--head", head)
    engine = open_database(f"sqlite:///{tmp_path / 'gateway-tuning.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER audit_entries_no_update"))
        connection.execute(sa.text("DROP TRIGGER audit_entries_no_delete"))
        connection.execute(sa.text("UPDATE audit_entries SET actor = 'key:evil'"))
    changed = run("audit", "verify")
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM audit_entries"))
    engine.dispose()
    cut, unnoticed = run("audit", "verify", "--head", head), run("audit", "verify")

    assert kept.exit_code == 0
    assert changed.exit_code == cut.exit_code == 1
    assert "broken at entry 1" in changed.output
    assert "tail is cut" in cut.output
    assert unnoticed.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["keys", "revoke", "0123456789ab"], "No API key 0123456789ab"),
        (["keys", "create", "--name", "x", "--role", "ModelAdmin", "--tenant", "a/b"], "no tenant name"),
        (["keys", "create", "--name", " ", "--role", "ModelAdmin"], "name of 1 to 100"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(run, arguments, told):
    refused = run(*arguments)

    assert refused.exit_code == 1
    assert told in refused.output
    assert "Traceback" not in refused.output
