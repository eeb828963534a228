"""The drift check of a tuning cycle, on real stores: what it compares, what it spends, what it leaves."""

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.settings import Settings
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import datasets
from tasks import drift
from tasks.cycles import approval_is_needed
from tasks.runtime import Runtime
from tests.conftest import NOW
from tests.unit.datasets.shelf import Shelf, example

QUICK = DriftSettings(permutations=199)
WORDS = [
    f"{what}{end}"
    for what in ("order", "refund", "login", "ticket", "lamp", "kite")
    for end in ("s", "ed", "ing", "er", "less")
]


@pytest.fixture
def rt(tmp_path, migrated_sqlite, monkeypatch):
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    found = Runtime(Settings(_env_file=None, home=tmp_path))
    monkeypatch.setattr(drift, "runtime", lambda: found)
    monkeypatch.setattr(drift, "now", lambda: NOW)
    # There is no Prefect here to show anything, and evidently takes seconds.
    monkeypatch.setattr(drift, "create_markdown_artifact", lambda *_, **__: None)
    monkeypatch.setattr(drift, "_store_evidently", lambda *_: None)
    yield found
    found.engine.dispose()


@pytest.fixture
def shelf(rt, tmp_path):
    return Shelf(rt.engine, ObjectStore.from_settings(rt.settings), tmp_path)


def examples(first, *, words=WORDS, count=330):
    """Five of each user, on one of the words in turn."""
    return [
        example(
            number,
            group=number // 5,
            prompt=f"Where is the {words[number % len(words)]} of {words[number // 7 % len(words)]}, and why {number * 7919 % 900 + 100}?",
        )
        for number in range(first, first + count)
    ]


@pytest.fixture
def stable(shelf):
    """The version that learned from the first examples."""
    manifest = shelf.put(examples(0))
    shelf.train(manifest.dataset_id)
    return "assistant@tuned"


def check(rt, manifest, stable, settings=QUICK):
    result = drift.check_dataset_drift.fn(manifest.dataset_id, stable, settings)
    return result, rt.drift.get(result.id)


def test_other_questions_than_the_stable_model_learned_from_are_drift_and_the_topics_stay_with_its_dataset(
    rt, shelf, stable
):
    manifest = shelf.put(examples(2000, words=[f"{word}x" for word in WORDS]))
    result, report = check(rt, manifest, stable)
    kept = topics(rt)

    assert report.state == "drift"
    assert (report.model, report.kind, report.check_number) == ("assistant", "dataset", 1)
    assert 0 < report.alpha < QUICK.alpha
    assert [key.split("/")[1] for key in kept] == [rt.registry.get(stable).dataset_id]
    assert check(rt, manifest, stable) == (result, report)
    assert topics(rt) == kept
    assert result.detail["against_stable"]
    assert approval_is_needed(plan("ask"), result)


def test_what_is_left_of_an_erased_dataset_is_compared_with(rt, shelf, stable):
    manifest, left = shelf.put(examples(2000, count=50)), shelf.put(examples(1000, count=50))
    retire(rt, rt.registry.get(stable).dataset_id, left.dataset_id)

    _, report = check(rt, manifest, stable)

    assert (report.reference_id, report.state) == (left.dataset_id, "inconclusive")


def test_a_dataset_that_is_gone_is_an_error_that_stops_no_cycle_and_may_be_checked_again(rt, shelf, stable):
    manifest = shelf.put(examples(2000, count=50))
    reference = rt.registry.get(stable).dataset_id
    parts = {key: rt.objects.read(key) for key in rt.objects.list_keys("") if key.split("/")[1] == reference}
    for key in parts:
        rt.objects.delete(key)

    result, report = check(rt, manifest, stable)

    assert (result.detail["state"], report.check_number) == ("error", None)
    assert reference in report.result["reasons"][0]
    for key, content in parts.items():
        rt.objects.write(key, content)
    assert check(rt, manifest, stable)[0].detail["state"] == "inconclusive"


def retire(rt, dataset_id, replaced_by):
    with rt.engine.begin() as connection:
        connection.execute(
            datasets.update()
            .where(datasets.c.id == dataset_id)
            .values(retired_at=NOW, replaced_by=replaced_by)
        )


@pytest.mark.parametrize(
    ("days", "older"), [([1, 2, 3, 4], 2), ([1, 1, 1, 2], 3), ([1, 2, 2, 2], 1), ([1] * 4, None)]
)
def test_the_older_half_ends_where_the_time_changes(days, older):
    made = [
        replace(example(number, prompt=f"Question {number}?"), last_feedback_at=NOW + timedelta(days=day))
        for number, day in enumerate(days)
    ]

    reference, current = drift._halves(made, "ds-1")

    assert (None if reference is None else reference.rows) == older
    assert current.rows == 4 - (older or 0)


def topics(rt):
    return {key: rt.objects.read(key) for key in rt.objects.list_keys("") if "/topics/" in key}


def plan(on_drift, **gate):
    return CyclePlan(gate={"on_drift": on_drift, **gate})


@pytest.mark.parametrize(
    ("plan", "state", "against_stable", "needed"),
    [
        (plan("ask"), "drift", True, True),
        (plan("ask"), "drift", False, False),
        (plan("ask"), "no_drift", True, False),
        (plan("ignore"), "drift", True, False),
        (plan("ignore", requires_approval=True), "no_drift", True, True),
    ],
)
def test_a_person_is_asked_where_the_gate_says_so(plan, state, against_stable, needed):
    found = StageResult(id="drift-1", detail={"state": state, "against_stable": against_stable})

    assert approval_is_needed(plan, found) is needed


def test_what_augmentation_made_is_nothing_that_users_asked():
    made = examples(0, count=4)
    varied = [replace(one, id=f"{one.id[:-1]}x", augmented_from=one.id) for one in made]

    assert drift.window_of([*made, *varied], "all").rows == 4
