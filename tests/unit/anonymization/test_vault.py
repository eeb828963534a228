import hashlib
from contextlib import suppress

import pytest

from gateway_tuning.anonymization.vault import Vault, VaultEntry, VaultPlace
from gateway_tuning.errors import ConfigurationError, IntegrityError, NotFoundError
from gateway_tuning.storage.object_store import ObjectStore

KEY = bytes(range(32))
ANNA = VaultEntry("Alex Belamere", "PERSON", "Anna Schmidt")
SHORT = VaultEntry("Alex Belamere", "PERSON", "Schmidt")
BOB = VaultEntry("Robin Toraby", "PERSON", "Bob \ud800 \u738b")
MAIL = VaultEntry("kim.tamolane@example.org", "EMAIL_ADDRESS", "bob@shop.de")


def place(tenant):
    folder = f"vaults/{hashlib.sha256(tenant.encode()).hexdigest()[:16]}"
    return VaultPlace(
        name=folder,
        keys=f"{folder}/keys.bin",
        batches=f"{folder}/batches",
        batch=lambda sha256: f"{folder}/batches/{sha256}.bin",
    )


@pytest.fixture
def objects(tmp_path):
    return ObjectStore(f"file://{tmp_path}/objects")


@pytest.fixture
def vault(objects):
    return Vault(objects, place("shop"), KEY)


def reopened(vault):
    return Vault(vault._store, vault._place, KEY)


def batches(vault):
    return vault._store.list_keys(vault._place.batches)


def all_bytes(vault):
    return b"".join(vault._store.read(key) for key in vault._store.list_keys("vaults"))


def test_a_pseudonym_leads_back_over_batches_and_after_a_restart(vault):
    vault.write([ANNA, BOB, ANNA])
    vault.write([SHORT, MAIL, ANNA])

    assert set(reopened(vault).reveal("Alex Belamere")) == {ANNA, SHORT}
    assert vault.reveal("Robin Toraby") == (BOB,)
    assert len(batches(vault)) == 2


def test_an_unknown_pseudonym_is_told_so_and_nothing_is_written_for_nothing(vault):
    vault.write([])

    with pytest.raises(NotFoundError):
        vault.reveal("Alex Belamere")
    assert vault._store.list_keys("vaults") == []


def test_no_original_and_no_pseudonym_stands_in_the_objects(vault):
    vault.write([ANNA, MAIL])

    for value in (b"Anna", b"Schmidt", b"Belamere", b"bob@shop.de", KEY):
        assert value not in all_bytes(vault)


def test_another_wrapping_key_opens_nothing_and_writes_nothing(vault):
    vault.write([ANNA])
    other = Vault(vault._store, vault._place, bytes(32))

    for attempt in (
        lambda: other.reveal("Alex Belamere"),
        lambda: other.write([BOB]),
        lambda: other.forget(["x"]),
    ):
        with pytest.raises(IntegrityError, match="wrapping key is another"):
            attempt()
    assert len(batches(vault)) == 1


@pytest.mark.parametrize("kept", [0, 3, 20, -1])
@pytest.mark.parametrize("which", ["keys", "batch"])
def test_a_truncated_object_is_an_integrity_error(vault, which, kept):
    vault.write([ANNA])
    key = vault._place.keys if which == "keys" else batches(vault)[0]
    vault._store.write(key, vault._store.read(key)[:kept])

    with pytest.raises(IntegrityError, match="restore"):
        vault.reveal("Alex Belamere")


def test_a_batch_under_the_name_of_another_is_an_integrity_error(vault):
    vault.write([ANNA])
    vault.write([BOB])
    first, second = batches(vault)
    vault._store.write(first, vault._store.read(second))

    with pytest.raises(IntegrityError, match="not the batch that its name says"):
        vault.reveal("Robin Toraby")


def test_a_batch_of_another_tenant_is_an_integrity_error(vault, objects):
    other = Vault(objects, place("bank"), KEY)
    other.write([BOB])
    vault.write([ANNA])
    data = objects.read(batches(other)[0])
    objects.write(vault._place.batch(hashlib.sha256(data).hexdigest()), data)

    with pytest.raises(IntegrityError, match="not written under this vault's key"):
        vault.reveal("Robin Toraby")


def test_the_keys_of_another_tenant_do_not_open_here(vault, objects):
    other = Vault(objects, place("bank"), KEY)
    other.write([BOB])
    vault.write([ANNA])
    objects.write(vault._place.keys, objects.read(other._place.keys))

    with pytest.raises(IntegrityError):
        vault.reveal("Alex Belamere")


def test_after_destroy_nothing_leads_back_and_a_new_vault_begins_with_a_new_key(vault):
    vault.write([ANNA])
    old = {key: vault._store.read(key) for key in vault._store.list_keys("vaults")}
    vault.destroy()
    vault.destroy()

    with pytest.raises(NotFoundError):
        vault.reveal("Alex Belamere")
    assert vault._store.list_keys("vaults") == []
    vault.write([BOB])
    assert vault.reveal("Robin Toraby") == (BOB,)
    # A copy of an old batch that somebody kept opens no more.
    for key, data in old.items():
        if key != vault._place.keys:
            vault._store.write(key, data)
    with pytest.raises(IntegrityError):
        vault.reveal("Alex Belamere")


def test_batches_without_their_key_are_told_and_destroy_clears_them(vault):
    vault.write([ANNA])
    vault._store.delete(vault._place.keys)

    with pytest.raises(IntegrityError, match="destroy the vault to begin anew"):
        vault.write([BOB])
    vault.destroy()
    vault.write([BOB])
    assert vault.reveal("Robin Toraby") == (BOB,)


def test_a_forgotten_person_leads_back_no_more_and_all_others_do(vault):
    vault.write([ANNA, BOB])
    vault.write([SHORT, MAIL])
    kept = {key: vault._store.read(key) for key in batches(vault)}

    assert vault.forget(["anna  SCHMIDT"]) == 2

    with pytest.raises(NotFoundError):
        vault.reveal("Alex Belamere")
    assert set(reopened(vault).entries()) == {BOB, MAIL}
    # An old copy of a batch is of a key that is gone: it is passed over, not read.
    for key, data in kept.items():
        vault._store.write(key, data)
    with pytest.raises(NotFoundError):
        vault.reveal("Alex Belamere")


def test_forgetting_somebody_unknown_changes_nothing_that_can_be_revealed(vault):
    assert vault.forget(["Zoe"]) == 0
    vault.write([ANNA])

    assert vault.forget(["Zoe"]) == 0
    assert vault.reveal("Alex Belamere") == (ANNA,)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("writes", range(1, 9))
def test_forgetting_that_was_killed_at_any_write_loses_nobody_else_and_can_be_run_again(
    vault, monkeypatch, writes
):
    vault.write([ANNA, BOB])
    vault.write([SHORT, MAIL])
    left = iter(range(writes))

    def dying(method):
        def call(*arguments):
            if next(left, None) is None:
                raise Killed
            return method(*arguments)

        return call

    with monkeypatch.context() as patch:
        for name in ("write", "write_new", "delete"):
            patch.setattr(vault._store, name, dying(getattr(vault._store, name)))
        with suppress(Killed):
            vault.forget(["Anna Schmidt"])

    assert {BOB, MAIL} <= set(reopened(vault).entries())
    reopened(vault).forget(["Anna Schmidt"])
    assert set(reopened(vault).entries()) == {BOB, MAIL}
    assert len(batches(vault)) == 2


def test_a_wrapping_key_of_another_length_is_refused(objects):
    with pytest.raises(ConfigurationError, match="has 5 bytes; give 32"):
        Vault(objects, place("shop"), b"short")
