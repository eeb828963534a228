"""One person is erased from a service that is full of them; everybody else stays."""

import logging
from dataclasses import replace

import pytest
import sqlalchemy as sa

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.cycles.cycle import CycleOutcome
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.datasets.published import read_all, read_rejected, write_dataset
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.erasure.begin import begin
from gateway_tuning.erasure.certificate import digest, verify
from gateway_tuning.erasure.complete import complete
from gateway_tuning.erasure.leftovers import subjects_in
from gateway_tuning.erasure.store import ErasureState, ErasureStore
from gateway_tuning.errors import ErasedError
from gateway_tuning.evaluation.store import EvaluationStore
from gateway_tuning.feedback.receipts import receipt
from gateway_tuning.feedback.record import FeedbackType
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.storage import layout
from gateway_tuning.storage.tables import dataset_feedback, outcomes, quarantine
from gateway_tuning.training.job import JobStatus, TuningSpec
from gateway_tuning.training.jobs import JobStore
from tests.conftest import NOW
from tests.erasure_world import LATER, MARKERS, PERSON, correction, persons_records, places_of


def erase(world, user=PERSON, now=LATER):
    begun = begin(world.engine, world.tenant, user, requested_by="cli:tests", now=now)
    return complete(world.places, begun.id, now=now, wait_seconds=5)


@pytest.fixture
def dataset(world):
    ((dataset_id, _),) = world.catalog.all()
    return dataset_id


def test_every_marker_stands_in_the_service_before(world):
    assert all(places_of(world, marker) for marker in (PERSON, *MARKERS))


@pytest.mark.parametrize("user", [PERSON])
def test_after_an_erasure_no_byte_of_the_person_is_left_anywhere(world, user, caplog):
    caplog.set_level(logging.DEBUG)

    erasure = erase(world, user)

    assert erasure.state is ErasureState.COMPLETED, erasure.certificate
    assert {marker: places_of(world, marker) for marker in (user, *MARKERS)} == {
        marker: [] for marker in (user, *MARKERS)
    }
    assert not [marker for marker in (user, *MARKERS) if marker in caplog.text]


def test_the_feedback_of_everybody_else_stays(world):
    erase(world)

    assert {record.id for record in world.read()} == {f"f-{number}" for number in range(40)}
    with world.engine.connect() as connection:
        assert connection.execute(sa.select(quarantine.c.position)).scalars().all() == ["9"]
        left = connection.execute(sa.select(outcomes.c.answer_id)).scalars().all()
    assert sorted(left) == ["answer-u-1", "answer-u-2"]


def test_the_dataset_is_replaced_by_one_without_the_person_whose_counts_add_up(world, dataset):
    before = world.catalog.manifest(dataset)
    old = read_all(world.objects, before)

    certificate = erase(world).certificate

    new = world.catalog.manifest(certificate["datasets"][dataset])
    examples = read_all(world.objects, new)
    gone = {example.id for example in old} - {example.id for example in examples}
    subject = certificate["subject_id"]
    assert gone == {example.id for example in old if subject in example.subject_ids}
    assert new.replaces == dataset
    assert new.counts.used + sum(new.counts.left_out.values()) == new.counts.records == 42
    # f-1 says the same as the person does in f-901: their common example goes, and f-1 with it.
    assert new.counts.left_out["erased"] == before.counts.used - new.counts.used == 3
    assert sum(sum(kinds.values()) for kinds in new.counts.examples.values()) == len(examples)
    for export in new.exports:
        lines = world.objects.read(export.key, sha256=export.sha256).splitlines()
        assert len(lines) == export.rows == new.counts.examples[export.split].get("demonstration", 0)


def test_the_old_dataset_says_what_replaced_it_and_equal_builds_find_the_new_one(world, dataset):
    key = world.key()
    new = erase(world).certificate["datasets"][dataset]

    with pytest.raises(ErasedError, match=new):
        world.catalog.manifest(dataset)
    assert world.catalog.find(key) == new
    assert [id_ for id_, _ in world.catalog.all()] == [new]
    assert world.objects.list_keys(layout.dataset_folder(dataset)) == []


def test_a_dataset_of_nothing_but_the_person_is_retired_without_a_replacement(empty_world):
    world = empty_world
    world.feedback.add(persons_records(), NOW)
    dataset, key = world.make_dataset(), world.key()

    assert erase(world).certificate["datasets"] == {dataset: None}

    assert world.catalog.find(key) is None
    with pytest.raises(ErasedError, match="build a new one"):
        world.catalog.manifest(dataset)
    assert world.catalog.find(world.key()) is None
    world.feedback.add([correction(number, f"u-{number}") for number in range(5)], LATER)
    again = world.make_dataset(key)
    assert world.catalog.find(key) == again


def test_a_dataset_from_before_lineage_was_kept_is_found_by_the_names_of_the_records(empty_world):
    world = empty_world
    world.feedback.add([correction(number, f"u-{number}") for number in range(20)] + persons_records(), NOW)
    manifest = world.finish(world.prepare()).manifest
    old = write_dataset(
        [replace(example, subject_ids=()) for example in read_all(world.objects, manifest)],
        manifest.counts,
        manifest.recipe,
        world.objects,
        tenant=world.tenant,
        anonymizer=manifest.anonymizer,
        replaces="",
        leakage=None,
        rejected=(),
    )
    dataset = old.dataset_id
    world.catalog.add("k", old, (), watermark=22, erasures_before=frozenset(), now=NOW)

    erasure = erase(world)

    new = world.catalog.manifest(erasure.certificate["datasets"][dataset])
    left = {id_ for example in read_all(world.objects, new) for id_ in example.feedback_ids}
    assert left == {f"f-{number}" for number in range(20)} - {"f-1"}
    assert [marker for marker in MARKERS if places_of(world, marker)] == []


def test_what_was_rejected_beside_a_dataset_goes_too_and_so_does_what_lies_between_stages(empty_world):
    world = empty_world
    refusal = "I'm sorry, but I can't help with that."
    said = [
        correction(number, user, prompt=f"What of {MARKERS[0]} {user}?", response=refusal).model_copy(
            update={"type": FeedbackType.THUMBS_UP, "corrected_response": None}
        )
        for number, user in ((1, PERSON), (2, "u-2"))
    ]
    world.feedback.add([correction(number, f"u-{number}") for number in range(5, 25)] + said, NOW)
    dataset = world.make_dataset()
    before = read_rejected(world.objects, world.catalog.manifest(dataset))
    assert {one.feedback_ids for one in before} >= {("f-1",), ("f-2",)}
    world.prepare(DatasetRecipe(max_records=9_999))
    assert world.objects.list_keys("builds")

    erasure = erase(world)

    assert erasure.state is ErasureState.COMPLETED
    left = read_rejected(world.objects, world.catalog.manifest(erasure.certificate["datasets"][dataset]))
    assert ("f-2",) in {one.feedback_ids for one in left}
    assert ("f-1",) not in {one.feedback_ids for one in left}
    assert world.objects.list_keys("builds") == []


def test_the_model_is_marked_and_enters_nothing_new(world, dataset):
    erasure = erase(world)

    version = Registry(world.engine).get("assistant@tuned")
    assert version.holds_erased_since == erasure.erased_at
    assert erasure.certificate["models_marked"] == [version.id]
    with pytest.raises(ErasedError, match="train a new version"):
        Registry(world.engine).candidate(version.id)
    with pytest.raises(ErasedError, match="train a new version"):
        CanaryStore(world.engine).start(
            "canary-2", tenant=world.tenant, model="assistant", candidate=version.id, control="assistant@base",
            policy=CanaryPolicy(), now=LATER,
        )  # fmt: skip
    with pytest.raises(ErasedError, match="is gone"):
        JobStore(world.engine).intend(
            TuningSpec("llama", "b", dataset, seed=9), tenant=world.tenant, now=LATER
        )
    with pytest.raises(ErasedError, match="is gone"):
        world.register(dataset, "another job", "assistant@another")
    with pytest.raises(ErasedError, match="is gone"):
        world.record_evaluation(dataset, "eval-2")


def test_its_running_canary_is_void_and_its_cycle_abandoned(world):
    erasure = erase(world)

    canary = CanaryStore(world.engine).get("canary-1")
    assert (canary.state, canary.share) == ("invalid", 0.0)
    assert "erased" in canary.reasons[0]
    assert "candidate" not in Registry(world.engine).aliases("assistant")
    (cycle_id,) = erasure.certificate["cycles_on_those_datasets"]
    assert CycleStore(world.engine).get(cycle_id).outcome is CycleOutcome.ABANDONED


def test_the_jobs_files_are_gone_and_the_job_is_still_known(world):
    erase(world)

    job = JobStore(world.engine).get(world.jobs["first"])
    folder = world.home / "jobs" / job.key
    assert job.status is JobStatus.CANCELLED
    assert world.provider.poll(job.key).status is JobStatus.CANCELLED
    assert not [name for name in ("train.jsonl", "checkpoints", "worker.log") if (folder / name).exists()]
    assert not list((world.home / "cache").rglob("*.jsonl"))


def test_evaluations_and_drift_keep_figures_alone(world):
    erase(world)

    result = EvaluationStore(world.engine).get("eval-1").result
    assert result["similarity"] == {"mean": 0.5}
    assert result["best"] == result["worst"] == result["most_changed"] == []
    assert world.objects.list_keys(layout.EVALUATIONS) == world.objects.list_keys(layout.DRIFT) == []


def test_an_erased_record_has_a_receipt_that_says_so(world):
    erase(world)

    assert receipt(world.engine, world.tenant, "f-900").state == "erased"
    assert receipt(world.engine, world.tenant, "f-1").state == "stored"


def test_what_the_person_said_before_is_refused_and_what_they_say_later_is_taken(world):
    erase(world)

    again = world.feedback.add(persons_records(), LATER)
    later = correction(902, PERSON).model_copy(update={"timestamp": LATER.replace(hour=20)})

    assert again.erased == 2
    assert world.feedback.add([later], LATER).added == 1


def test_a_second_request_returns_the_open_one_and_new_data_makes_a_new_one(world):
    def ask():
        return begin(world.engine, world.tenant, PERSON, requested_by="cli:tests", now=LATER)

    first = ask()
    assert ask() == first
    world.feedback.add(
        [correction(903, PERSON).model_copy(update={"timestamp": LATER.replace(hour=20)})], LATER
    )
    second = ask()

    assert second.id != first.id
    assert second.counts["feedback"] == 1
    assert second.erased_at > first.erased_at


def test_two_people_are_erased_one_after_the_other_from_the_same_dataset(world, dataset):
    first = begin(world.engine, world.tenant, PERSON, requested_by="cli:tests", now=LATER)
    second = begin(world.engine, world.tenant, "u-7", requested_by="cli:tests", now=LATER)

    later = complete(world.places, second.id, now=LATER, wait_seconds=5)
    earlier = complete(world.places, first.id, now=LATER, wait_seconds=5)

    assert later.state is earlier.state is ErasureState.COMPLETED
    assert dataset in earlier.certificate["datasets"]
    assert earlier.certificate["models_marked"] == later.certificate["models_marked"] == ["assistant@tuned"]
    ((left, _),) = world.catalog.all()
    held = {
        subject
        for example in read_all(world.objects, world.catalog.manifest(left))
        for subject in example.subject_ids
    }
    assert held.isdisjoint({first.subject_id, second.subject_id})
    assert all(verify(world.engine, world.objects, done.certificate).holds for done in (earlier, later))


def test_the_certificate_stands_in_the_audit_log_and_a_fresh_search_bears_it_out(world):
    erasure = erase(world)

    assert erasure.certificate["sha256"] == digest(erasure.certificate)
    assert erasure.certificate["not_done"] == []
    assert erasure.certificate["rows_removed"] == {
        "feedback": 2, "quarantine": 3, "quarantine_reviews": 0, "enrichments": 1, "rating_tokens": 1, "outcomes": 1,
        "shadow_pairs": 0,
    }  # fmt: skip
    assert verify(world.engine, world.objects, erasure.certificate).problems == ()
    assert AuditLog(world.engine).verify().intact
    assert complete(world.places, erasure.id, now=LATER) == erasure


def lineage_of(world, feedback_id):
    with world.engine.connect() as connection:
        query = sa.select(dataset_feedback).where(dataset_feedback.c.feedback_id == feedback_id)
        return connection.execute(query).all()


def test_a_changed_certificate_and_data_that_came_back_are_found_out(world, dataset):
    (person,) = {row.subject_id for row in lineage_of(world, "f-900")}
    held = {part: world.objects.read(part.key) for part in world.catalog.manifest(dataset).parts}
    part, data = next((part, data) for part, data in held.items() if person in subjects_in(data))
    erasure = erase(world)
    certificate = erasure.certificate

    changed = certificate | {"models_marked": []}
    forged = changed | {"sha256": digest(changed)}
    assert "was changed" in verify(world.engine, world.objects, changed).problems[0]
    assert "audit log" in verify(world.engine, world.objects, forged).problems[0]

    world.objects.write(layout.dataset_part("ds-restored", "train", part.sha256), data)
    assert any(
        "ds-restored" in problem for problem in verify(world.engine, world.objects, certificate).problems
    )


def test_what_the_person_says_later_does_not_break_the_certificate(world):
    erasure = erase(world)
    world.feedback.add(
        [correction(900, PERSON).model_copy(update={"timestamp": LATER.replace(hour=20)})], LATER
    )
    world.make_dataset()

    assert verify(world.engine, world.objects, erasure.certificate).problems == ()


def test_another_tenants_user_of_the_same_name_stays(world):
    theirs = correction(1, PERSON).model_copy(update={"tenant": "globex"})
    world.feedback.add([theirs], NOW)

    erase(world)

    assert [record.id for _, record in world.feedback.read("globex")] == ["f-1"]


def test_the_erasure_row_names_nobody(world):
    begun = begin(world.engine, world.tenant, PERSON, requested_by="cli:tests", now=LATER)

    assert PERSON not in str(ErasureStore(world.engine).get(begun.id))
    assert PERSON not in str(AuditLog(world.engine).page(world.tenant, limit=10))
