"""kill -9 in the middle of an erasure, and of builds that began before one."""

import os
import shutil
import signal
import traceback
from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.erasure.begin import begin
from gateway_tuning.erasure.certificate import verify
from gateway_tuning.erasure.complete import complete, sweep
from gateway_tuning.erasure.store import ErasureState, ErasureStore
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.erasure_world import LATER, MARKERS, PERSON, end_state, places_of

pytestmark = pytest.mark.slow


class Countdown:
    """Ends this process with kill -9 before an effect: the commit of a transaction, a write or a deletion."""

    def __init__(self, effects):
        self.left = effects

    def __call__(self, *_args, **_options):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


class FragileObjects(ObjectStore):
    def __init__(self, url, countdown):
        super().__init__(url)
        self._countdown = countdown

    def write(self, key, data):
        self._countdown()
        return super().write(key, data)

    def write_new(self, key, data):
        self._countdown()
        return super().write_new(key, data)

    def delete(self, key):
        self._countdown()
        return super().delete(key)


def killed_after(world, effects, work):
    """Run `work(world)` in a process of its own that dies after so many effects. True when it was killed."""
    url = world.engine.url.render_as_string(hide_password=False)
    world.engine.dispose()
    child = os.fork()
    if child == 0:
        try:
            countdown = Countdown(effects)
            engine = open_database(url)
            event.listen(engine, "commit", countdown)
            work(replace(world, engine=engine, objects=FragileObjects(world.objects.url, countdown)))
            os._exit(0)
        except BaseException:  # noqa: BLE001 - this process must not go on as a second pytest
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def finish(erasure_id):
    return lambda world: complete(world.places, erasure_id, now=LATER, wait_seconds=5)


def one_certificate(world, erasure_id):
    erasure = ErasureStore(world.engine).get(erasure_id)
    assert erasure.state is ErasureState.COMPLETED, erasure.certificate
    assert verify(world.engine, world.objects, erasure.certificate).problems == ()
    entries = [entry.event.action for entry in AuditLog(world.engine).page(world.tenant, limit=50)]
    assert entries == ["erasure.complete", "erasure.begin"]


def assert_gone(world):
    assert {marker: places_of(world, marker) for marker in (PERSON, *MARKERS)} == {
        marker: [] for marker in (PERSON, *MARKERS)
    }


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_killed_before_any_of_its_effects_and_run_again_it_comes_to_the_same_end(world, tmp_path_factory):
    begun = begin(world.engine, world.tenant, PERSON, requested_by="cli:tests", now=LATER)
    world.engine.dispose()
    copy = tmp_path_factory.mktemp("copies") / "begun"
    shutil.copytree(world.home, copy)
    assert not killed_after(world, -1, finish(begun.id))
    undisturbed = end_state(world)

    effects = 0
    while True:
        world.engine.dispose()
        shutil.rmtree(world.home)
        shutil.copytree(copy, world.home)
        killed = killed_after(world, effects, finish(begun.id))
        finish(begun.id)(world)
        assert end_state(world) == undisturbed, f"killed after {effects} effects"
        if not killed:
            break
        effects += 1
    one_certificate(world, begun.id)
    assert_gone(world)
    assert effects > 20


def test_killed_again_and_again_it_comes_to_its_end(world):
    begun = begin(world.engine, world.tenant, PERSON, requested_by="cli:tests", now=LATER)
    kills = 0

    while killed_after(world, kills, finish(begun.id)):
        kills += 1

    assert kills > 2
    one_certificate(world, begun.id)
    assert_gone(world)


def test_a_begin_that_is_killed_has_removed_all_rows_or_none(world):
    def ask(world):
        begin(world.engine, world.tenant, PERSON, requested_by="cli:tests", now=LATER)

    before = len(world.read())
    assert killed_after(world, 0, ask)
    assert len(world.read()) == before
    assert ErasureStore(world.engine).all() == []

    assert not killed_after(world, -1, ask)
    assert len(world.read()) == before - 2


def test_a_build_from_before_that_is_killed_at_any_write_brings_nobody_back(world):
    begun_before = world.prepare(DatasetRecipe(max_records=9_999))
    before = world.catalog.erasures(world.tenant)
    begun = begin(world.engine, world.tenant, PERSON, requested_by="cli:tests", now=LATER)
    finish(begun.id)(world)

    def publish(world):
        built = world.finish(begun_before)
        world.catalog.add(
            "of its own", built.manifest, built.fates, watermark=42, erasures_before=before, now=LATER
        )

    effects, killed = 0, True
    while effects < 12 and killed:
        killed = killed_after(world, effects, publish)
        sweep(world.places, now=LATER)
        assert_gone(world)
        effects += 1
    assert effects > 6
    one_certificate(world, begun.id)
    with world.engine.connect() as connection:
        assert (
            connection.execute(
                sa.text("SELECT count(*) FROM datasets WHERE build_key = 'of its own'")
            ).scalar_one()
            == 0
        )
