"""What was lost is started again, a few times, and then no more."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.restarts import PAUSES, Due, Restart, RestartStore, due
from gateway_tuning.runs.run import Intent, RunKind
from gateway_tuning.runs.store import RunStore, start_unstarted
from tests.conftest import NOW
from tests.orchestrator import MemoryOrchestrator

HOUR = timedelta(hours=1)


@pytest.fixture
def store(engine):
    return RunStore(engine)


@pytest.fixture
def orchestrator():
    return MemoryOrchestrator()


@pytest.fixture
def run(store, orchestrator, now):
    intent = Intent("run-1", "acme", RunKind.DATASET, {}, "user:anna", "a" * 64)
    return store.start(store.intend(intent, now=now), orchestrator, now=now)


def test_a_restart_waits_longer_each_time_and_the_fourth_never_comes():
    before, at, asked = [], NOW, []
    for number in range(1, len(PAUSES) + 1):
        while due(before, progress_at=None, now=at) is Due.LATER:
            at += timedelta(minutes=1)
        asked.append(at - NOW)
        before.append(Restart("cycle c", number, "lost", at))

    assert asked == [timedelta(), timedelta(minutes=5), timedelta(minutes=35)]
    assert due(before, progress_at=None, now=at + 1000 * HOUR) is Due.NEVER


def test_what_was_finished_in_between_forgives_earlier_restarts():
    before = [Restart("cycle c", number, "lost", NOW + number * HOUR) for number in (1, 2, 3)]

    assert due(before, progress_at=NOW + 3.5 * HOUR, now=NOW + 4 * HOUR) is Due.NOW
    assert due(before, progress_at=NOW + 2.5 * HOUR, now=NOW + 4 * HOUR) is Due.NOW
    assert due(before, progress_at=NOW, now=NOW + 4 * HOUR) is Due.NEVER


@given(st.lists(st.integers(0, 100_000), max_size=12), st.integers(0, 100_000))
def test_however_it_is_looked_at_there_are_never_more_restarts_than_pauses_without_progress(looks, progress):
    before = []
    for second in sorted(looks):
        at = NOW + timedelta(seconds=second)
        progress_at = NOW + timedelta(seconds=progress) if second > progress else None
        if due(before, progress_at=progress_at, now=at) is Due.NOW:
            before.append(Restart("cycle c", len(before) + 1, "lost", at))

    assert len(before) <= 2 * len(PAUSES)
    assert len({restart.key for restart in before}) == len(before)


def test_restarts_are_kept_in_order_and_the_first_of_a_number_stays(engine, now):
    store = RestartStore(engine)
    for number, reason in [(1, "lost"), (2, "lost"), (2, "again")]:
        store.note(Restart("cycle c", number, reason, now))

    assert [(one.number, one.reason) for one in store.of("cycle c")] == [(1, "lost"), (2, "lost")]
    assert store.of("cycle d") == []


def test_a_crashed_run_is_started_again_under_another_key_and_keeps_its_id(store, orchestrator, run, now):
    store.note_crash(run.id, run.orchestrator_id, now=now)

    waiting = store.get(run.id)
    assert (waiting.status, waiting.orchestrator_id) == (RunStatus.QUEUED, None)
    assert "started again" in waiting.message
    assert start_unstarted(store, orchestrator, now=now + HOUR, grace_s=1) == {run.id: "queued"}
    assert store.get(run.id).orchestrator_id == "o-run-1:restart-1"
    assert len(orchestrator.started) == 2


def test_a_crash_counts_once_however_often_it_is_told(store, engine, run, now):
    for _ in range(3):
        store.note_crash(run.id, run.orchestrator_id, now=now)

    assert len(RestartStore(engine).of(run.id)) == 1


def test_a_run_that_crashes_again_and_again_fails_and_says_where_to_look(store, orchestrator, run, now):
    for attempt in range(len(PAUSES)):
        store.note_crash(run.id, store.get(run.id).orchestrator_id, now=now)
        start_unstarted(store, orchestrator, now=now + (attempt + 1) * HOUR, grace_s=1)
    store.note_crash(run.id, store.get(run.id).orchestrator_id, now=now)

    ended = store.get(run.id)
    assert ended.status is RunStatus.FAILED
    assert "lost 4 times; look at the worker" in ended.message
    assert len(orchestrator.started) == 4


def test_a_run_that_was_cancelled_is_not_started_again(store, orchestrator, run, now):
    store.note(run.id, RunStatus.CANCELLED, now=now)

    store.note_crash(run.id, run.orchestrator_id, now=now)

    assert store.get(run.id).status is RunStatus.CANCELLED
    assert start_unstarted(store, orchestrator, now=now + HOUR, grace_s=1) == {}


def test_the_orchestrator_is_believed_when_it_says_that_a_run_crashed(store, orchestrator, run, now):
    orchestrator.turn(run.orchestrator_id, RunStatus.FAILED, "gone", crashed=True)

    assert [one.id for one in store.under_way(before=now + HOUR)] == [run.id]
    after = store.refresh(run, orchestrator, now=now)

    assert (after.status, after.orchestrator_id) == (RunStatus.QUEUED, None)
    assert [one.id for one in store.waiting(RunKind.DATASET)] == [run.id]
    assert store.under_way(before=now + HOUR) == []
