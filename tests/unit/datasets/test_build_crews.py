"""Whoever does the jobs of a build, and however many there are, it is one build."""

import shutil
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import pytest

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.datasets import build as building
from gateway_tuning.datasets.building.workshop import Workshop, alone, processes, threads
from gateway_tuning.datasets.published import read_all
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.trust_policy import TrustPolicy
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.conftest import NOW, give_key
from tests.unit.datasets.test_build import MODEL, THINGS, WANTS, request


@dataclass(frozen=True)
class Opening:
    """Of a workshop in another process."""

    database: str
    objects: str

    def __call__(self):
        store = FeedbackStore(open_database(self.database))
        anonymizer = cache(
            lambda policy: Anonymizer(MODEL, policy=AnonymizationPolicy.model_validate_json(policy))
        )
        return Workshop(
            store,
            ObjectStore(self.objects),
            lambda _tenant, policy: anonymizer(policy.model_dump_json()),  # loaded once, as in a run
            lambda _text: None,
        )


def many(make_record):
    """430 records of 90 users on few prompts: votes, rivals and conversations that cross every border."""
    return [
        make_record(
            f"f{i:03}",
            ("thumbs_up", "thumbs_down", "correction")[i * i % 3],
            user_id=f"user-{i * 7 % 90}",
            prompt=f"Clara Oswald asks why the {THINGS[i % 16]} {WANTS[i % 5]}",
            response=f"It is the {THINGS[i * 5 % 16]}.",
            corrected_response=f"The {THINGS[i * 3 % 16]} {WANTS[i % 5]}, Clara Oswald.",
            timestamp=NOW - timedelta(hours=i * i % 431),
        )
        for i in range(430)
    ]


def test_one_worker_and_threads_make_one_manifest(make_record, engine, tmp_path):
    give_key(engine)
    store = FeedbackStore(engine)
    store.add(many(make_record), NOW)
    recipe = DatasetRecipe(block_records=100, trust=TrustPolicy(min_burst_accounts=1000))
    asked = request(store, recipe)
    url = engine.url.render_as_string(hide_password=False)
    workshops = [Opening(url, f"file://{tmp_path / name}")() for name in ("alone", "threads")]

    made = [
        building.build(asked, workshops[0], alone(workshops[0])),
        building.build(asked, workshops[1], threads(workshops[1], 3)),
    ]

    assert len(made[0].fates.plan.blocks) == 5
    assert made[0].manifest.counts.used > 0
    assert made[1].manifest.encode() == made[0].manifest.encode()
    assert list(made[1].fates) == list(made[0].fates)


@pytest.mark.slow
def test_processes_make_the_manifest_that_one_worker_makes(make_record, migrated_sqlite, tmp_path):
    shutil.copyfile(migrated_sqlite, tmp_path / "store.db")
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store = FeedbackStore(open_database(url))
    store.add(many(make_record), NOW)
    asked = request(store, DatasetRecipe(block_records=100, trust=TrustPolicy(min_burst_accounts=1000)))
    one, several = (Opening(url, f"file://{tmp_path / name}") for name in ("alone", "processes"))

    expected = building.build(asked, one(), alone(one()))
    with processes(several, 2) as crew:
        built = building.build(asked, several(), crew)

    assert built.manifest.encode() == expected.manifest.encode()


def test_cut_into_blocks_nothing_is_lost_doubled_or_leaks(make_record, migrated_sqlite, tmp_path):
    shutil.copyfile(migrated_sqlite, tmp_path / "store.db")
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store = FeedbackStore(open_database(url))
    store.add(many(make_record), NOW)
    trust = TrustPolicy(min_burst_accounts=1000)
    workshop = Opening(url, f"file://{tmp_path / 'objects'}")()

    whole, cut = (
        building.build(request(store, recipe), workshop, alone(workshop))
        for recipe in (DatasetRecipe(trust=trust), DatasetRecipe(block_records=100, trust=trust))
    )

    def ids(built):
        return sorted(example.id for example in read_all(workshop.objects, built.manifest))

    assert len(cut.fates.plan.blocks) == 5
    assert {fate.feedback_id: fate for fate in cut.fates} == {fate.feedback_id: fate for fate in whole.fates}
    assert ids(cut) == ids(whole)
    assert cut.manifest.counts.agreement == whole.manifest.counts.agreement
    assert cut.manifest.counts.shared_groups == 0
