"""`gateway-tuning vault` as a person types it."""

import hashlib
import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("cryptography", reason="the privacy extra is not installed")

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.anonymization.vault_entry import VaultEntry
from gateway_tuning.anonymization.vaults import TenantVault
from gateway_tuning.cli import app
from gateway_tuning.erasure.begin import begin
from gateway_tuning.errors import StorageUnavailableError
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.conftest import NOW, give_key

KEY = bytes(range(32))
ANNA = VaultEntry("Robin Toraby", "PERSON", "Anna Schmidt")
BREAKING = VaultEntry("Kim Belamere", "PERSON", 'Bob "\u738b"\n\x1b[31m \ud800')


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("GATEWAY_TUNING_VAULT_KEY", KEY.hex())
    monkeypatch.setenv("COLUMNS", "200")
    shop = Shop(Settings(_env_file=None, home=tmp_path))
    give_key(shop.engine, "shop")
    shop.vault.write([ANNA, BREAKING])
    yield shop
    shop.engine.dispose()


class Shop:
    def __init__(self, settings):
        self.engine = open_database(settings.resolved_database_url)
        self.objects = ObjectStore.from_settings(settings)
        self.vault = TenantVault(self.engine, self.objects, "shop", KEY)

    def run(self, *arguments, **options):
        return CliRunner().invoke(app, ["vault", *arguments], **options)

    def reveal(self, pseudonym, *arguments, tenant="shop"):
        return self.run("reveal", pseudonym, "--tenant", tenant, *arguments)

    @property
    def audited(self):
        return [entry.event for entry in AuditLog(self.engine).page("shop", limit=10)]


def test_a_pseudonym_is_revealed_and_the_audit_log_says_who_asked_and_not_for_whom(shop):
    result = shop.reveal("Robin Toraby", "--actor", "auditor@bank")

    assert (result.exit_code, result.stdout) == (0, 'PERSON\t"Anna Schmidt"\n')
    (event,) = shop.audited
    assert (event.action, event.outcome) == ("vault.reveal", "done")
    assert event.actor.startswith("cli:")
    assert event.detail == {"asked_by": "auditor@bank"}
    assert not [word for word in ("Robin", "Toraby", "Anna", "Schmidt") if word in repr(event)]


def test_the_audit_log_names_the_pseudonym_by_the_tenants_key_alone(shop):
    for pseudonym in ("Robin Toraby", "Kim Belamere", "Robin Toraby"):
        shop.reveal(pseudonym)

    third, second, first = (event.object_id for event in shop.audited)
    assert first == third != second
    assert first != hashlib.sha256(b"Robin Toraby").hexdigest()


def test_a_text_that_would_steer_the_terminal_is_shown_escaped(shop):
    result = shop.reveal("Kim Belamere")

    assert result.stdout == 'PERSON\t"Bob \\"\u738b\\"\\n\\u001b[31m \\ud800"\n'


def test_an_unknown_pseudonym_is_an_error_and_noted_as_failed(shop):
    result = shop.reveal("Nobody Velar")

    assert result.exit_code == 1
    assert "nothing leads back" in result.stderr
    (event,) = shop.audited
    assert (event.outcome, event.detail) == ("failed", {"error": "NotFoundError"})
    assert "Velar" not in repr(event)


def test_a_person_whose_erasure_has_begun_is_not_revealed(shop, make_record):
    FeedbackStore(shop.engine).add([make_record("f", user_id="u-1", tenant="shop")], NOW)
    subject = FeedbackStore(shop.engine).subject_of("shop", now=NOW)("u-1")
    shop.vault.write([VaultEntry("Sam Corvane", "PERSON", "Quill Feather", subject, NOW)])
    assert shop.reveal("Sam Corvane").exit_code == 0

    begin(shop.engine, "shop", "u-1", requested_by="cli:tests", now=NOW)

    refused = shop.reveal("Sam Corvane")
    assert refused.exit_code == 1
    assert "was erased" in refused.stderr
    assert "Quill" not in refused.output


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (None, "GATEWAY_TUNING_VAULT_KEY is not set. Set it"),
        ("00" * 32, "the wrapping key is another"),
        ("ab", "GATEWAY_TUNING_VAULT_KEY is no key"),
    ],
)
def test_without_the_right_key_nothing_is_revealed_and_the_setting_named(shop, monkeypatch, key, told):
    if key is None:
        monkeypatch.delenv("GATEWAY_TUNING_VAULT_KEY")
    else:
        monkeypatch.setenv("GATEWAY_TUNING_VAULT_KEY", key)

    result = shop.reveal("Robin Toraby")

    assert result.exit_code == 1
    assert told in result.stderr
    assert "Anna" not in result.output


def test_a_tenant_without_a_vault_is_told_so(shop):
    for command in (["reveal", "Robin Toraby"], ["destroy", "--yes"]):
        result = shop.run(*command, "--tenant", "bank")

        assert result.exit_code == 1
        assert "Tenant bank has no vault" in result.stderr


def test_destroying_asks_first_and_then_nothing_leads_back(shop):
    kept = shop.run("destroy", "--tenant", "shop", input="n\n")
    assert kept.exit_code == 1
    assert shop.reveal("Robin Toraby").exit_code == 0

    gone = shop.run("destroy", "--tenant", "shop", input="y\n")

    assert gone.exit_code == 0
    assert shop.objects.list_keys("vaults") == []
    assert shop.reveal("Robin Toraby").exit_code == 1
    assert [event.action for event in shop.audited] == ["vault.destroy", "vault.reveal"]
    assert shop.audited[0].object_id.startswith("vaults/")


def test_a_destruction_that_failed_is_noted_as_failed(shop, monkeypatch):
    def breaks_off(_store, _key):
        raise StorageUnavailableError("it broke off")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "delete", breaks_off)
        result = shop.run("destroy", "--tenant", "shop", "--yes")

    assert result.exit_code == 1
    assert shop.vault.reveal("Robin Toraby") == (ANNA,)
    latest = shop.audited[0]
    assert (latest.action, latest.outcome) == ("vault.destroy", "failed")
    assert latest.detail == {"error": "StorageUnavailableError"}


def test_a_vault_whose_key_is_lost_can_be_destroyed(shop, monkeypatch):
    monkeypatch.delenv("GATEWAY_TUNING_VAULT_KEY")

    gone = shop.run("destroy", "--tenant", "shop", "--yes", "--actor", "the owner")

    assert gone.exit_code == 0, gone.output
    assert shop.objects.list_keys("vaults") == []
    (event,) = shop.audited
    assert event.detail == {"asked_by": "the owner"}


def test_the_vault_of_another_tenant_stays_when_one_is_destroyed(shop):
    bank = TenantVault(shop.engine, shop.objects, "bank", KEY)
    bank.write([ANNA])

    shop.run("destroy", "--tenant", "shop", "--yes")

    assert bank.reveal("Robin Toraby") == (ANNA,)


def states(result):
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()[1:]]


def test_the_status_counts_and_tells_what_opens(shop, monkeypatch):
    give_key(shop.engine, "bank")
    TenantVault(shop.engine, shop.objects, "bank", bytes(32)).write([ANNA])
    TenantVault(shop.engine, shop.objects, "stranger", KEY).write([ANNA])

    lines = states(shop.run("status"))

    assert len(lines) == 3
    (ours,) = states(shop.run("status", "--tenant", "shop"))
    assert ours.startswith("shop vaults/")
    assert ours.endswith(" 1 2 open")
    (theirs,) = (line for line in lines if line.startswith("bank"))
    assert "1 - does not open" in theirs
    (unknown,) = (line for line in lines if line.startswith("- "))
    assert "of a tenant that this store does not know" in unknown

    monkeypatch.delenv("GATEWAY_TUNING_VAULT_KEY")
    (closed,) = states(shop.run("status", "--tenant", "shop"))
    assert closed.endswith("1 - closed: GATEWAY_TUNING_VAULT_KEY is not set")


def test_batches_that_a_killed_destroy_left_are_told(shop):
    (keys,) = [key for key in shop.objects.list_keys("vaults") if key.endswith("keys.bin")]
    shop.objects.delete(keys)

    (left,) = states(shop.run("status"))

    assert left.endswith("1 - key destroyed, batches left; destroy it again")
    assert shop.run("destroy", "--tenant", "shop", "--yes").exit_code == 0
    assert states(shop.run("status")) == []


def test_the_erasure_of_a_person_waits_for_the_key(shop, make_record, monkeypatch):
    FeedbackStore(shop.engine).add([make_record("f", user_id="u-1", tenant="shop")], NOW)
    key = shop.vault.key.hex()
    monkeypatch.delenv("GATEWAY_TUNING_VAULT_KEY")

    tried = CliRunner().invoke(app, ["subjects", "erase", "u-1", "--tenant", "shop"])
    erasure = tried.stdout.split()[0]
    monkeypatch.setenv("GATEWAY_TUNING_VAULT_KEY", key)
    resumed = CliRunner().invoke(app, ["subjects", "resume", erasure])

    assert "GATEWAY_TUNING_VAULT_KEY is not set" in tried.stderr
    assert f"{erasure} incomplete" in tried.stdout
    assert f"{erasure} completed" in resumed.stdout
    certificate = json.loads(CliRunner().invoke(app, ["subjects", "certificate", erasure]).stdout)
    assert [place for place in certificate["searched"] if "vaults" in place]
