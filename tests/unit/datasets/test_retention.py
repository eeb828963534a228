"""Which datasets stay, that those that go are gone whole and audited, and that a kill in the middle changes nothing."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.datasets.deleted import ACTION
from gateway_tuning.datasets.lineage import State, of_dataset
from gateway_tuning.datasets.retention import Held, RetentionPolicy, delete, judge, preview, retain
from gateway_tuning.datasets.uses import Uses
from gateway_tuning.errors import ConfigurationError, ConflictError, ErasedError, NotFoundError
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.statuses import ModelStatus
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage import layout, leases
from gateway_tuning.storage.tables import dataset_feedback, datasets
from gateway_tuning.training.job import TuningSpec, exports_folder
from gateway_tuning.training.jobs import JobStore
from tests.conftest import NOW
from tests.unit.datasets.shelf import Shelf, example

ROOT = Path(__file__).parents[3]
ONE = RetentionPolicy(keep=1)
ALL = {"tenant": "default", "actor": "cli:ann", "now": NOW}


# Retention in a process of its own that dies when it is about to delete an object.
KILLED = """
import os, signal
from gateway_tuning.storage.object_store import ObjectStore
real, done = ObjectStore.delete, []
def delete(self, key):
    if len(done) == int(os.environ["EFFECTS"]):
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(key)
    return real(self, key)
ObjectStore.delete = delete
from gateway_tuning.cli import app
app(["datasets", "retain", "--keep", "1"])
"""


@pytest.fixture
def on_both(engine, objects, tmp_path):
    """The same shelf on each database."""
    return Shelf(engine, objects, tmp_path)


def fill(shelf, count=4):
    """Oldest first, a day apart; the last is of now."""
    return [shelf.put([example(n)], age=count - 1 - n) for n in range(count)]


def there(shelf, made):
    return [bool(shelf.keys(one)) for one in made]


def deletions(shelf):
    return [
        one.event for one in AuditLog(shelf.engine).page("default", limit=100) if one.event.action == ACTION
    ]


def test_the_newest_stay_and_the_others_are_gone_and_audited(on_both):
    made = fill(on_both)

    verdicts, removed = retain(on_both.engine, on_both.objects, RetentionPolicy(keep=2), **ALL)

    assert there(on_both, made) == [False, False, True, True]
    assert [one.stays for one in verdicts] == [True, True, False, False]
    assert {one.dataset_id for one in removed} == {one.dataset_id for one in made[:2]}
    assert {event.object_id for event in deletions(on_both)} == {one.dataset_id for one in made[:2]}
    assert deletions(on_both)[0].detail == {"reason": "retention", "keep": 2, "days": None}
    assert deletions(on_both)[0].actor == "cli:ann"
    assert AuditLog(on_both.engine).verify().intact
    assert [id_ for id_, _ in on_both.catalog.all()] == [one.dataset_id for one in made[2:]]
    assert of_dataset(on_both.engine, made[0].dataset_id).state is State.DELETED


def test_retention_twice_deletes_and_audits_once(shelf):
    fill(shelf)
    retain(shelf.engine, shelf.objects, ONE, **ALL)

    verdicts, removed = retain(shelf.engine, shelf.objects, ONE, **ALL)

    assert (len(verdicts), removed) == (1, [])
    assert len(deletions(shelf)) == 3


def test_what_is_needed_or_young_stays_and_says_why(shelf):
    made = fill(shelf, 6)
    shelf.train(made[0].dataset_id)
    shelf.evaluate(made[1].dataset_id)
    JobStore(shelf.engine).intend(TuningSpec("llama", "small", made[2].dataset_id), tenant="default", now=NOW)

    found = {
        one.dataset_id: one.why
        for one in preview(shelf.engine, RetentionPolicy(1, days=1.5), tenant="default", now=NOW)
    }

    assert [found[one.dataset_id] for one in made[:4]] == [
        ("model version assistant@tuned was trained on it",),
        ("evaluation eval-1 was made on it",),
        found[made[2].dataset_id],
        (),
    ]
    assert found[made[2].dataset_id][0].startswith("tuning job ")
    assert found[made[4].dataset_id] == ("younger than 1.5 days",)
    assert found[made[5].dataset_id] == ("one of the newest 1", "younger than 1.5 days")


def test_a_preview_deletes_nothing(shelf, run):
    made = fill(shelf)

    result = run("retain", "--keep", "1", "--dry-run")

    assert result.exit_code == 0
    assert result.output.count("would go") >= 3
    assert all(there(shelf, made))
    assert deletions(shelf) == []


def test_another_tenants_datasets_are_left_alone(shelf):
    theirs = shelf.put([example(1)], tenant="shop", age=100)

    retain(shelf.engine, shelf.objects, RetentionPolicy(keep=0), **ALL)
    with pytest.raises(NotFoundError):
        delete(shelf.engine, shelf.objects, theirs.dataset_id, **ALL)

    assert shelf.keys(theirs)


def test_what_an_erasure_left_of_a_models_dataset_stays(shelf):
    old, left, newest = (
        shelf.put([example(1)], age=9),
        shelf.put([example(2)], age=8),
        shelf.put([example(3)]),
    )
    shelf.train(old.dataset_id)
    with shelf.engine.begin() as connection:
        gone = datasets.c.id == old.dataset_id
        connection.execute(
            sa.update(datasets).where(gone).values(retired_at=NOW, replaced_by=left.dataset_id)
        )

    retain(shelf.engine, shelf.objects, ONE, **ALL)

    assert there(shelf, [left, newest]) == [True, True]


def test_the_dataset_of_an_unfinished_cycle_cannot_be_deleted_even_by_force(shelf):
    (made,) = fill(shelf, 1)
    cycles = CycleStore(shelf.engine)
    cycle = cycles.open(
        tenant="default", model="assistant", plan={}, watermark=1, incumbent="x", started_by="a test", now=NOW
    )
    lease = leases.acquire(shelf.engine, cycle.lease_name, owner="a", now=NOW, seconds=60)
    cycles.record_stage(cycle.id, "dataset", StageResult(id=made.dataset_id), seconds=1, lease=lease, now=NOW)

    with pytest.raises(ConflictError, match=f"cycle {cycle.id} is not finished"):
        delete(shelf.engine, shelf.objects, made.dataset_id, force=True, **ALL)

    assert shelf.keys(made)


def test_a_models_dataset_is_deleted_by_force_alone_and_its_lineage_stays(on_both):
    (made,) = fill(on_both, 1)
    on_both.train(made.dataset_id)

    with pytest.raises(ConflictError, match=r"assistant@tuned was trained on it\. --force"):
        delete(on_both.engine, on_both.objects, made.dataset_id, **ALL)
    assert on_both.keys(made)
    delete(on_both.engine, on_both.objects, made.dataset_id, force=True, **ALL)

    assert on_both.keys(made) == []
    assert deletions(on_both)[0].detail["models"] == ["assistant@tuned"]
    with on_both.engine.connect() as connection:
        kept = connection.execute(sa.select(dataset_feedback.c.feedback_id)).scalars().all()
    assert "f0" in kept


def test_a_models_dataset_without_lineage_is_never_deleted(shelf):
    made = shelf.put([example(1)], fates=False)
    shelf.train(made.dataset_id)

    with pytest.raises(ConflictError, match="only its parts tell whom assistant@tuned learned from"):
        delete(shelf.engine, shelf.objects, made.dataset_id, force=True, **ALL)

    assert shelf.keys(made)


def test_nothing_new_is_made_of_a_deleted_dataset(shelf):
    (made,) = fill(shelf, 1)
    delete(shelf.engine, shelf.objects, made.dataset_id, **ALL)

    with pytest.raises((NotFoundError, ErasedError)):
        shelf.train(made.dataset_id)

    with pytest.raises(NotFoundError):
        Registry(shelf.engine).get("assistant@tuned")


def test_an_erased_dataset_cannot_be_deleted_again(shelf):
    (made,) = fill(shelf, 1)
    with shelf.engine.begin() as connection:
        connection.execute(sa.update(datasets).values(retired_at=NOW))

    with pytest.raises(NotFoundError, match="held data of an erased person"):
        delete(shelf.engine, shelf.objects, made.dataset_id, **ALL)


def test_a_base_model_without_a_dataset_needs_none(shelf):
    made = fill(shelf, 2)
    base = ModelVersion(
        id="m@base", tenant="default", model="m", base_model="small", provider="llama", created_at=NOW
    )
    Registry(shelf.engine).register(base)

    retain(shelf.engine, shelf.objects, ONE, **ALL)

    assert there(shelf, made) == [False, True]


@pytest.mark.parametrize("effects", [0, 1, 3])
def test_killed_in_the_middle_it_goes_on(shelf, effects):
    made = fill(shelf, 3)
    shelf.engine.dispose()
    environment = os.environ | {"GATEWAY_TUNING_HOME": str(shelf.home), "EFFECTS": str(effects)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], env=environment, cwd=ROOT, capture_output=True, check=False
    )
    left_by_the_kill = sum(there(shelf, made))

    retain(shelf.engine, shelf.objects, ONE, **ALL)

    assert killed.returncode == -signal.SIGKILL
    assert left_by_the_kill > 1
    assert there(shelf, made) == [False, False, True]
    assert len(deletions(shelf)) == 2
    assert not list(shelf.home.rglob("*.partial"))


def test_deleting_again_after_a_kill_removes_the_rest(shelf):
    (made,) = fill(shelf, 1)
    delete(shelf.engine, shelf.objects, made.dataset_id, **ALL)
    shelf.objects.write(layout.dataset_part(made.dataset_id, "train", "0" * 64), b"left by a kill")

    delete(shelf.engine, shelf.objects, made.dataset_id, **ALL)

    assert shelf.keys(made) == []
    assert len(deletions(shelf)) == 1


ages = st.lists(st.integers(0, 400), max_size=12, unique=True)


@given(ages, st.integers(0, 6), st.none() | st.integers(0, 400), st.sets(st.integers(0, 11)))
def test_exactly_the_newest_the_young_and_the_needed_stay(days, keep, limit, needed):
    held = [
        Held(f"ds-{age}", NOW - timedelta(days=age), Uses(models=("m",)) if index in needed else Uses())
        for index, age in enumerate(days)
    ]

    staying = {one.dataset_id for one in judge(held, RetentionPolicy(keep, limit), now=NOW) if one.stays}

    newest = {f"ds-{age}" for age in sorted(days)[:keep]}
    young = {f"ds-{age}" for age in days if limit is not None and age < limit}
    assert staying == newest | young | {f"ds-{age}" for index, age in enumerate(days) if index in needed}


@pytest.mark.parametrize("policy", [{"keep": -1}, {"keep": 1, "days": -0.5}])
def test_a_policy_that_means_nothing_is_refused(policy):
    with pytest.raises(ConfigurationError, match="give numbers from 0 on"):
        RetentionPolicy(**policy)


def test_the_commands_delete_and_say_so_of_a_dataset_that_is_gone(shelf, run):
    made = fill(shelf, 2)
    copies = exports_folder(shelf.home / "cache", made[0].dataset_id)
    copies.mkdir(parents=True)
    (copies / "train.jsonl").write_text("{}")

    deleted = run("delete", made[0].dataset_id, "--yes")
    shown, card, never = (
        run("show", made[0].dataset_id),
        run("card", made[0].dataset_id),
        run("show", "ds-never"),
    )

    assert deleted.exit_code == shown.exit_code == 0
    assert not copies.exists()
    assert f"{made[0].dataset_id} was deleted by cli:" in shown.output
    assert "on request" in shown.output
    assert (card.exit_code, never.exit_code) == (1, 1)
    assert "was deleted by cli:" in card.output
    assert "No dataset ds-never" in never.output


def test_without_yes_nothing_is_deleted(shelf, run):
    (made,) = fill(shelf, 1)

    refused = run("delete", made.dataset_id)

    assert refused.exit_code == 1
    assert shelf.keys(made)


def test_a_version_whose_training_failed_keeps_no_dataset(shelf):
    made = fill(shelf, 2)
    shelf.train(made[0].dataset_id, status=ModelStatus.FAILED)

    found = preview(shelf.engine, RetentionPolicy(1), tenant="default", now=NOW)

    assert [one.why for one in found if one.dataset_id == made[0].dataset_id] == [()]
