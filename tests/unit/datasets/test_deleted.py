"""A deleted dataset elsewhere: built again it stands again, and an erasure still reaches its models."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway_tuning.datasets.lineage import State, of_dataset
from gateway_tuning.datasets.retention import delete
from gateway_tuning.erasure.begin import begin
from gateway_tuning.erasure.complete import complete
from gateway_tuning.erasure.places import Places
from gateway_tuning.errors import NotFoundError
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.subjects import subject_id
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage.tenants import subject_key
from tests.conftest import NOW
from tests.unit.datasets.shelf import example

ALL = {"tenant": "default", "actor": "cli:ann", "now": NOW}


def test_a_dataset_that_was_deleted_stands_again_when_it_is_built_again(shelf):
    made = shelf.put([example(1), example(2)])
    delete(shelf.engine, shelf.objects, made.dataset_id, **ALL)
    with pytest.raises(NotFoundError, match="was deleted by"):
        shelf.catalog.manifest(made.dataset_id)
    assert shelf.catalog.find(f"key of {made.dataset_id}") is None
    again = shelf.put([example(1), example(2)], age=-1)
    assert again.dataset_id == made.dataset_id
    assert of_dataset(shelf.engine, made.dataset_id).state is State.LIVING
    assert of_dataset(shelf.engine, made.dataset_id).created_at == NOW + timedelta(days=1)
    assert shelf.catalog.manifest(made.dataset_id) == again
    assert shelf.catalog.find(f"key of {made.dataset_id}") == made.dataset_id


def test_a_model_of_a_deleted_dataset_is_marked_when_a_person_in_it_is_erased(shelf, make_record):
    FeedbackStore(shelf.engine).add([make_record(f"f{n}", user_id=f"u{n}") for n in (1, 2)], NOW)
    key = subject_key(shelf.engine, "default", now=NOW)
    made = shelf.put([replace(example(n), subject_ids=(subject_id(key, f"u{n}"),)) for n in (1, 2)])
    shelf.train(made.dataset_id)
    delete(shelf.engine, shelf.objects, made.dataset_id, force=True, **ALL)
    erasure = begin(shelf.engine, "default", "u1", requested_by="cli:ann", now=NOW + timedelta(hours=1))
    done = complete(
        Places(shelf.engine, shelf.objects, lambda _n: None, shelf.home, shelf.home / "cache"),
        erasure.id,
        now=NOW + timedelta(hours=2),
    )
    assert done.state == "completed", done.certificate
    assert Registry(shelf.engine).get("assistant@tuned").holds_erased_since == erasure.erased_at
