"""An erasure carried out by a real Prefect server, and a build that an erasure overtakes."""

import pytest

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.datasets.published import read_all
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.erasure.begin import begin
from gateway_tuning.erasure.complete import complete
from gateway_tuning.erasure.store import ErasureState, ErasureStore
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.erasure_world import LATER, MARKERS, MODEL, PERSON, World, fill, places_of

pytestmark = pytest.mark.slow


def open_world(home):
    settings = Settings(_env_file=None, home=home)
    engine = open_database(settings.resolved_database_url)
    return World(engine, ObjectStore(settings.resolved_object_storage_url), home, Anonymizer(MODEL))


def ask(world):
    return begin(world.engine, world.tenant, PERSON, requested_by="cli:tests", now=LATER)


def test_the_flow_needs_the_erasures_id_alone_and_leaves_nothing_not_even_in_prefects_own_store(served):
    world = open_world(served.home)
    fill(world)
    begun = ask(world)

    state = served.run("erase-subject", erasure_id=begun.id)

    assert state["type"] == "COMPLETED"
    erasure = ErasureStore(world.engine).get(begun.id)
    assert erasure.state is ErasureState.COMPLETED, erasure.certificate
    (run,) = served.runs("erase-subject")
    assert run["parameters"] == {"erasure_id": begun.id}
    world.engine.dispose()
    assert {marker: places_of(world, marker) for marker in (PERSON, *MARKERS)} == {
        marker: [] for marker in (PERSON, *MARKERS)
    }


def test_the_hourly_run_completes_what_was_left_open(served):
    world = open_world(served.home)
    begun = begin(world.engine, world.tenant, "u-5", requested_by="cli:tests", now=LATER)

    assert served.run("erase-subject")["type"] == "COMPLETED"

    assert ErasureStore(world.engine).get(begun.id).state is ErasureState.COMPLETED
    world.engine.dispose()


def test_a_build_that_an_erasure_overtakes_is_built_again_without_the_person(tmp_path, monkeypatch):
    from prefect import flow
    from prefect.testing.utilities import prefect_test_harness

    from tasks import datasets
    from tasks.runtime import runtime

    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    runtime.cache_clear()
    world = open_world(tmp_path)
    fill(world)
    erased, build = [], datasets.build

    def overtaken(*arguments, **options):
        built = build(*arguments, **options)
        if not erased:
            erased.append(complete(world.places, ask(world).id, now=LATER, wait_seconds=5))
        return built

    monkeypatch.setattr(datasets, "build", overtaken)
    recipe = DatasetRecipe(max_records=41)
    with prefect_test_harness():
        result = flow(lambda: datasets.build_dataset(world.tenant, recipe, 42), name="build")()

    runtime.cache_clear()
    examples = read_all(world.objects, world.catalog.manifest(result.id))
    assert examples
    assert all(erased[0].subject_id not in example.subject_ids for example in examples)
    world.engine.dispose()
