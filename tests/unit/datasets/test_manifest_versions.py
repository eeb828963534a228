"""Datasets of earlier versions are read; those of later ones are refused, and not misread."""

import json
from pathlib import Path

import pytest

from gateway_tuning.datasets import parquet
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.published import read_all, read_manifest
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.storage import layout
from gateway_tuning.storage.object_store import ObjectStore

# As each version wrote them, byte for byte.
WRITTEN = sorted((Path(__file__).parents[2] / "samples" / "datasets").iterdir())


def opened(folder):
    objects = ObjectStore(f"file://{folder}")
    (path,) = folder.glob("datasets/*/manifest.json")
    return objects, read_manifest(objects, path.parent.name)


def test_there_is_a_dataset_of_every_version_of_the_schema():
    versions = {(opened(folder)[1].layout_version, opened(folder)[1].schema_version) for folder in WRITTEN}

    assert {schema for _, schema in versions} == set(range(1, parquet.SCHEMA_VERSION + 1))
    assert {written for written, _ in versions} == set(range(1, layout.LAYOUT_VERSION + 1))


@pytest.mark.parametrize("folder", WRITTEN, ids=lambda folder: folder.name)
def test_what_an_earlier_version_wrote_is_read_whole(folder):
    objects, manifest = opened(folder)

    examples = read_all(objects, manifest)

    assert len(examples) == sum(sum(kinds.values()) for kinds in manifest.counts.examples.values()) == 24
    assert {example.answer for example in examples} >= {"Order 3 is on its way and comes today."}
    assert {example.messages[-1].content for example in examples} >= {"Order 3 is late, where is it?"}
    assert {example.split for example in examples} == {"train", "validation", "test"}
    assert all(example.subject_ids for example in examples) == (manifest.schema_version > 1)


@pytest.mark.parametrize("name", ["layout", "schema"])
def test_a_later_version_is_refused_with_what_to_install(name):
    _, manifest = opened(WRITTEN[-1])
    later = json.loads(manifest.encode()) | {f"{name}_version": 99, "what nobody knows yet": True}

    with pytest.raises(
        ConfigurationError, match=f"Dataset {manifest.dataset_id} .* version 99 of the {name}; .*Install"
    ):
        Manifest.decode(json.dumps(later).encode())
