"""What the vault holds of an erased person is forgotten, whatever happens on the way; everybody else leads back."""

import shutil
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.anonymization.vault import Vault
from gateway_tuning.anonymization.vault_entry import VaultEntry
from gateway_tuning.anonymization.vaults import TenantVault, place_of
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.erasure.begin import begin
from gateway_tuning.erasure.certificate import verify
from gateway_tuning.erasure.complete import complete, sweep
from gateway_tuning.erasure.store import ErasureState
from gateway_tuning.errors import NotFoundError
from tests.conftest import NOW, give_key
from tests.erasure_world import LATER, MODEL, PERSON, World, correction, places_of
from tests.faults.test_erasure import finish, killed_after

KEY = bytes(range(32))
POLICY = AnonymizationPolicy(default_action="pseudonym")
MINE, OTHERS, SHARED = "quill@feather-post.de", "bob@shop-mail.de", "desk@both-know.de"


@dataclass
class VaultWorld(World):
    vault_key: bytes | None = KEY

    @property
    def vault(self):
        return TenantVault(self.engine, self.objects, self.tenant, self.vault_key)

    @property
    def workshop(self):
        return replace(super().workshop, vault=lambda _tenant: self.vault)

    @property
    def places(self):
        return replace(super().places, vault_key=self.vault_key)

    def entries(self):
        found = []
        self.vault.count(lambda entry: found.append(entry) is None)
        return found

    def originals(self):
        return {entry.original for entry in self.entries()}

    def pseudonym(self, original):
        return next(entry.pseudonym for entry in self.entries() if entry.original == original)


def says(number, user, *addresses, **changes):
    prompt = f"Write of parcel {number} to {' and '.join(addresses)} please."
    return correction(number, user, prompt=prompt).model_copy(update=changes)


@pytest.fixture(scope="module")
def pseudonymizer():
    return Anonymizer(MODEL, policy=POLICY, pseudonym_key=KEY)


@pytest.fixture
def world(engine, objects, tmp_path, pseudonymizer):
    give_key(engine)
    recipe = DatasetRecipe(anonymization=POLICY)
    world = VaultWorld(engine, objects, tmp_path, pseudonymizer, recipe=recipe)
    world.feedback.add(
        [says(1, PERSON, MINE, SHARED), says(2, "u-2", OTHERS, SHARED), says(3, "u-3", OTHERS)], NOW
    )
    world.make_dataset()
    return world


def ask(world, user=PERSON, now=LATER):
    return begin(world.engine, world.tenant, user, requested_by="cli:tests", now=now)


def holds(world, erasure):
    return verify(world.engine, world.objects, erasure.certificate, vault_key=world.vault_key)


def test_the_values_of_an_erased_person_are_forgotten_and_those_of_others_lead_back(world):
    mine, others = world.pseudonym(MINE), world.pseudonym(OTHERS)
    assert world.originals() >= {MINE, OTHERS, SHARED}

    erasure = finish(ask(world).id)(world)

    assert erasure.state is ErasureState.COMPLETED, erasure.certificate
    with pytest.raises(NotFoundError):
        world.vault.reveal(mine)
    assert {entry.original for entry in world.vault.reveal(others)} == {OTHERS}
    assert MINE not in world.originals()
    assert holds(world, erasure).problems == ()


def test_no_original_stands_anywhere_in_clear_before_and_nothing_of_the_person_after(world):
    stored = b"".join(world.objects.read(key) for key in world.objects.list_keys(""))
    assert not [value for value in (MINE, OTHERS, SHARED) if value.encode() in stored]

    finish(ask(world).id)(world)

    assert places_of(world, MINE) == []


def test_a_value_that_two_persons_said_is_forgotten_for_both_until_the_next_build(world):
    finish(ask(world).id)(world)
    assert SHARED not in world.originals()

    # The dataset that replaced the old one stands for an equal build: a new record makes another one.
    world.feedback.add([says(4, "u-4", OTHERS)], LATER)
    world.make_dataset()

    assert world.originals() >= {SHARED, OTHERS}
    assert MINE not in world.originals()


def test_from_the_request_on_nothing_of_the_person_is_revealed(world):
    mine = world.pseudonym(MINE)
    ask(world)

    with pytest.raises(NotFoundError, match="was erased"):
        world.vault.reveal(mine)


def test_without_the_key_nothing_is_certified_until_the_key_is_there(world):
    begun = ask(world)
    keyless = replace(world, vault_key=None)

    tried = finish(begun.id)(keyless)

    assert tried.state is ErasureState.INCOMPLETE
    (told,) = tried.certificate["not_done"]
    assert "GATEWAY_TUNING_VAULT_KEY is not set" in told
    assert "vault destroy --tenant default" in told
    assert MINE in world.originals()

    done = finish(begun.id)(world)
    assert done.state is ErasureState.COMPLETED
    assert MINE not in world.originals()
    assert "could not be searched" in holds(keyless, done).problems[0]


def test_the_hourly_run_says_of_a_vault_that_it_has_no_key(world):
    finish(ask(world).id)(world)

    (told,) = sweep(replace(world, vault_key=None).places, now=LATER)

    assert "GATEWAY_TUNING_VAULT_KEY is not set" in told


def test_another_key_certifies_nothing(world):
    begun = ask(world)

    tried = finish(begun.id)(replace(world, vault_key=bytes(32)))

    assert tried.state is ErasureState.INCOMPLETE
    assert "the wrapping key is another" in tried.certificate["not_done"][0]


def test_a_vault_that_was_destroyed_needs_no_key(world):
    world.vault.destroy()

    erasure = finish(ask(world).id)(replace(world, vault_key=None))

    assert erasure.state is ErasureState.COMPLETED
    assert holds(replace(world, vault_key=None), erasure).holds


def test_a_vault_that_others_hold_leaves_the_erasure_open(world):
    from gateway_tuning.anonymization.vaults import tenant_hash
    from gateway_tuning.storage import leases

    begun = ask(world)
    name = f"vault:{tenant_hash(world.tenant)}"
    far = leases.acquire(world.engine, name, owner="far|1|1", now=NOW + timedelta(days=9999), seconds=60)

    tried = complete(world.places, begun.id, now=LATER, wait_seconds=0)

    assert tried.state is ErasureState.INCOMPLETE
    assert "held by far" in tried.certificate["not_done"][0]
    leases.release(world.engine, far, now=NOW)
    assert finish(begun.id)(world).state is ErasureState.COMPLETED


def test_a_build_that_read_before_the_erasure_writes_nothing_of_the_person_after_it(world):
    subject = world.feedback.subject_of(world.tenant, now=NOW)(PERSON)
    read_before = [
        VaultEntry("p", "EMAIL_ADDRESS", MINE, subject, NOW - timedelta(days=1)),
        VaultEntry("q", "EMAIL_ADDRESS", "late@shop-mail.de", "another", NOW),
    ]
    finish(ask(world).id)(world)

    world.vault.write(read_before)

    assert MINE not in world.originals()
    assert "late@shop-mail.de" in world.originals()


def test_what_a_writer_that_was_stopped_for_too_long_brought_back_is_found_and_swept(world):
    erasure = finish(ask(world).id)(world)
    old = VaultEntry("p", "EMAIL_ADDRESS", MINE, erasure.subject_id, NOW)
    Vault(world.objects, place_of(world.tenant), KEY).write([old])
    assert holds(world, erasure).problems == ("found again: vault of the tenant: 1 entries",)

    assert sweep(world.places, now=LATER) == []

    assert MINE not in world.originals()
    assert holds(world, erasure).problems == ()


def test_a_version_of_a_record_that_was_replaced_is_forgotten_too(world):
    newer = says(1, PERSON, "new@feather-post.de", timestamp=NOW)
    world.feedback.add([newer.model_copy(update={"revision": 2})], NOW)
    assert MINE not in str(world.read())

    finish(ask(world).id)(world)

    assert MINE not in world.originals()


def test_what_the_person_says_later_is_kept_and_does_not_break_the_certificate(world):
    erasure = finish(ask(world).id)(world)
    later = says(9, PERSON, "again@feather-post.de", timestamp=LATER + timedelta(hours=8))
    world.feedback.add([later], LATER)

    world.make_dataset()

    assert "again@feather-post.de" in world.originals()
    assert holds(world, erasure).problems == ()


def test_the_vault_of_another_tenant_stays_as_it_is(world):
    theirs = replace(world.vault, tenant="globex")
    theirs.write([VaultEntry("p", "EMAIL_ADDRESS", MINE, "somebody", NOW)])
    before = {key: world.objects.read(key) for key in world.objects.list_keys(place_of("globex").batches)}

    finish(ask(world).id)(world)

    assert {
        key: world.objects.read(key) for key in world.objects.list_keys(place_of("globex").batches)
    } == before


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_killed_before_any_of_its_effects_and_run_again_the_vault_forgets_the_same(world, tmp_path_factory):
    # A second batch, so that the vault can be between two keys.
    world.vault.write([VaultEntry("p", "EMAIL_ADDRESS", "one@more.de", "another", NOW)])
    begun = ask(world)
    world.engine.dispose()
    copy = tmp_path_factory.mktemp("copies") / "begun"
    shutil.copytree(world.home, copy)
    kept = world.originals() - {MINE, SHARED}

    effects, in_between = 0, 0
    while True:
        world.engine.dispose()
        shutil.rmtree(world.home)
        shutil.copytree(copy, world.home)
        killed = killed_after(world, effects, finish(begun.id))
        in_between += MINE in world.originals()
        erasure = finish(begun.id)(world)
        assert erasure.state is ErasureState.COMPLETED, f"killed after {effects} effects"
        assert kept == world.originals(), f"killed after {effects} effects"
        assert holds(world, erasure).problems == ()
        assert len(world.objects.list_keys(place_of(world.tenant).batches)) == 2, (
            "a batch of an old key is left"
        )
        if not killed:
            break
        effects += 1
    assert 5 < in_between < effects
