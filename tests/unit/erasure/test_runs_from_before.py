"""Runs that began before an erasure: whatever they do, the person does not come back."""

from dataclasses import replace

import pytest

from gateway_tuning.datasets.published import read_all
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.erasure.begin import begin
from gateway_tuning.erasure.certificate import verify
from gateway_tuning.erasure.complete import complete, sweep
from gateway_tuning.erasure.store import ErasureState
from gateway_tuning.errors import ErasedError
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.storage import layout
from gateway_tuning.storage.database import open_database, reading
from tests.conftest import NOW
from tests.erasure_world import LATER, MARKERS, PERSON, fill, places_of


def erase(world, wait_seconds=5):
    begun = begin(world.engine, world.tenant, PERSON, requested_by="cli:tests", now=LATER)
    return complete(world.places, begun.id, now=LATER, wait_seconds=wait_seconds)


OTHER = DatasetRecipe(max_records=9_999)  # another dataset of the same records


def add(world, built, before, set_aside=()):
    return world.catalog.add(
        "a build of its own", built.manifest, built.fates, watermark=42, erasures_before=before, now=LATER,
        set_aside=set_aside,
    )  # fmt: skip


def assert_gone(world):
    left = {marker: places_of(world, marker) for marker in (PERSON, *MARKERS)}
    assert left == {marker: [] for marker in (PERSON, *MARKERS)}


@pytest.fixture
def erased_after_the_read(world):
    """A build that has read and not published; then the person is erased, to the end."""
    before, begun = world.catalog.erasures(world.tenant), world.prepare(OTHER)
    return world, before, begun, erase(world)


def test_a_build_that_read_before_is_refused_leaves_nothing_and_is_built_again(erased_after_the_read):
    world, before, begun, erasure = erased_after_the_read
    burst = QuarantineEntry(world.tenant, "trust", "feedback", "f-900", ("burst",), None, "f-900", PERSON)

    built = world.finish(begun)
    with pytest.raises(ErasedError, match="build it again"):
        add(world, built, before, [burst])

    assert world.objects.list_keys(layout.dataset_folder(built.manifest.dataset_id)) == []
    sweep(world.places, now=LATER)
    assert_gone(world)
    again = world.catalog.manifest(world.make_dataset("a build of its own"))
    assert all(erasure.subject_id not in example.subject_ids for example in read_all(world.objects, again))
    assert verify(world.engine, world.objects, erasure.certificate).holds


def test_a_build_that_was_published_and_not_catalogued_is_swept_and_cannot_be_catalogued(world):
    before, built = world.catalog.erasures(world.tenant), world.finish(world.prepare(OTHER))
    held = tuple(built.fates)

    erasure = erase(world)

    assert erasure.state is ErasureState.COMPLETED
    assert_gone(world)
    with pytest.raises(ErasedError, match="build it again"):
        add(world, replace(built, fates=held), before)


def test_a_build_of_others_whose_objects_were_swept_is_built_again(world):
    """It holds what the person said after the erasure, and was taken for a leftover."""
    built = world.finish(world.prepare(OTHER))
    for key in (part.key for part in built.manifest.parts):
        world.objects.delete(key)

    with pytest.raises(ErasedError, match="build it again"):
        add(world, built, world.catalog.erasures(world.tenant))


def test_a_build_that_died_after_the_erasure_is_swept_by_the_next_run(erased_after_the_read):
    world, _before, begun, _erasure = erased_after_the_read
    manifest = world.finish(begun).manifest
    world.objects.delete(layout.dataset_manifest(manifest.dataset_id))  # it died just before
    part = world.home / "objects" / f"{manifest.parts[0].key}.0123456789ab.partial"
    part.write_text(MARKERS[0])

    assert sweep(world.places, now=LATER) == []

    assert_gone(world)


def test_the_same_dataset_from_a_build_from_before_stays_retired(world):
    before, begun = world.catalog.erasures(world.tenant), world.prepare()
    erasure = erase(world)
    (retired,) = erasure.certificate["datasets"]

    built = world.finish(begun)
    assert built.manifest.dataset_id == retired
    with pytest.raises(ErasedError, match="use ds-"):
        add(world, built, before)

    sweep(world.places, now=LATER)
    assert_gone(world)


def test_files_that_a_late_submission_brought_to_a_provider_are_discarded_by_the_next_run(world):
    folder = world.home / "jobs" / world.jobs["first"]
    given = (folder / "train.jsonl").read_bytes()
    erase(world)

    (folder / "train.jsonl").write_bytes(given)
    sweep(world.places, now=LATER)

    assert_gone(world)


def test_a_submission_that_was_cut_off_is_discarded_whole(world):
    folder = world.home / "jobs" / world.jobs["first"]
    (folder / "spec.json").unlink()

    erase(world)

    assert not folder.exists()


def test_an_evaluation_that_ends_later_is_refused_and_its_leftovers_are_swept(world):
    ((dataset_id, _),) = world.catalog.all()
    erase(world)

    with pytest.raises(ErasedError):
        world.record_evaluation(dataset_id, "eval-late")
    sweep(world.places, now=LATER)

    assert_gone(world)


def test_an_evaluation_of_another_dataset_that_is_about_to_be_recorded_stays(world):
    world.evaluate("ds-of-others", "eval-others")
    erase(world)

    assert len(world.objects.list_keys(layout.evaluation_folder("eval-others"))) == 2


def test_while_others_look_at_the_store_it_is_incomplete_and_the_next_run_ends_it(empty_world):
    world = empty_world
    fill(world)
    url = world.engine.url.render_as_string(hide_password=False)
    world.engine = open_database(url, busy_seconds=0.2)
    other = open_database(url)

    with reading(other) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("SELECT count(*) FROM feedback")
        tried = erase(world, wait_seconds=0.3)
        assert tried.state is ErasureState.INCOMPLETE
        assert len(tried.certificate["not_done"]) == 1
    other.dispose()
    done = complete(world.places, tried.id, now=LATER, wait_seconds=5)

    assert done.state is ErasureState.COMPLETED
    assert_gone(world)
    world.engine.dispose()


def test_a_provider_that_is_away_leaves_it_incomplete(world):
    from gateway_tuning.errors import ProviderUnavailableError

    def away(name):
        raise ProviderUnavailableError(f"{name} does not answer")

    begun = begin(world.engine, world.tenant, PERSON, requested_by="cli:tests", now=NOW)
    tried = complete(replace(world.places, provider=away), begun.id, now=LATER, wait_seconds=1)

    assert tried.state is ErasureState.INCOMPLETE
    assert "does not answer" in tried.certificate["not_done"][0]
    assert complete(world.places, begun.id, now=LATER, wait_seconds=5).state is ErasureState.COMPLETED


def test_a_job_that_nobody_here_knows_leaves_it_incomplete_until_somebody_vouches_for_its_files(world):
    (world.home / "jobs").rename(world.home.with_name(f"{world.home.name} of another machine"))

    tried = erase(world)
    done = complete(world.places, tried.id, now=LATER, wait_seconds=5, unknown_jobs_are_gone=True)

    assert tried.state is ErasureState.INCOMPLETE
    assert "on the machine that trained it" in tried.certificate["not_done"][0]
    assert done.state is ErasureState.COMPLETED
    assert done.certificate["vouched_for"] == tried.certificate["not_done"]
