from datetime import timedelta

import pytest

from gateway_tuning.errors import ConfigurationError, ConflictError, NotFoundError, OrchestratorError
from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.run import Intent, RunKind, run_of_tags
from gateway_tuning.runs.store import RunStore, start_unstarted
from tests.orchestrator import MemoryOrchestrator


@pytest.fixture
def store(engine):
    return RunStore(engine)


@pytest.fixture
def orchestrator():
    return MemoryOrchestrator()


def intent(id_="run-1", *, key=None, body="a", tenant="acme", **parameters):
    return Intent(id_, tenant, RunKind.DATASET, parameters, "user:anna", body.ljust(64), key)


def test_a_run_is_written_down_first_and_started_under_its_own_id(store, orchestrator, now):
    run = store.intend(intent(watermark=7), now=now)
    assert (run.status, run.orchestrator_id) == (RunStatus.QUEUED, None)

    started = store.start(run, orchestrator, now=now)

    assert started.orchestrator_id == "o-run-1"
    assert orchestrator.started == {
        "run-1": ("build-dataset/build-dataset", {"watermark": 7}, ("run:run-1",))
    }
    assert run_of_tags(["datasets", "run:run-1"]) == "run-1"


def test_the_same_key_and_body_give_the_same_run_and_another_body_is_refused(store, now):
    first = store.intend(intent("run-1", key="k"), now=now)

    assert store.intend(intent("run-2", key="k"), now=now) == first
    assert store.recall("acme", "k", "a".ljust(64)) == first
    with pytest.raises(ConflictError, match=r"gave run run-1; use a new key"):
        store.intend(intent("run-3", key="k", body="b"), now=now)
    with pytest.raises(ConflictError):
        store.recall("acme", "k", "b".ljust(64))


def test_tenants_do_not_share_keys_or_see_each_others_runs(store, now):
    ours = store.intend(intent("run-1", key="k"), now=now)
    theirs = store.intend(intent("run-2", key="k", body="b", tenant="globex"), now=now)

    assert ours.id != theirs.id
    assert [run.id for run in store.page("acme", limit=9)] == ["run-1"]
    with pytest.raises(NotFoundError):
        store.get("run-2", tenant="acme")


def test_what_a_crash_left_unstarted_is_started_again_and_is_the_same_run(store, orchestrator, now):
    run = store.intend(intent(), now=now)
    orchestrator.start(run.kind.deployment, run.parameters, key=run.id)  # and then the process was killed

    told = start_unstarted(store, orchestrator, now=now + timedelta(seconds=61), grace_s=60)

    assert told == {"run-1": "queued"}
    assert store.get("run-1").orchestrator_id == "o-run-1"
    assert len(orchestrator.started) == 1
    assert start_unstarted(store, orchestrator, now=now + timedelta(days=1), grace_s=60) == {}


def test_an_intent_is_left_alone_within_the_grace(store, orchestrator, now):
    store.intend(intent(), now=now)

    assert start_unstarted(store, orchestrator, now=now + timedelta(seconds=59), grace_s=60) == {}


def test_an_orchestrator_that_is_away_leaves_the_intent_with_the_reason(store, orchestrator, now):
    run = store.intend(intent(), now=now)
    orchestrator.answers = False

    with pytest.raises(OrchestratorError):
        store.start(run, orchestrator, now=now)
    left = store.get(run.id)
    orchestrator.answers = True

    assert (left.status, left.orchestrator_id) == (RunStatus.QUEUED, None)
    assert "does not answer" in left.message
    assert store.start(left, orchestrator, now=now).message == ""


def test_a_run_that_can_never_start_has_failed(store, orchestrator, now, monkeypatch):
    def refuse(*_, **__):
        raise ConfigurationError("the parameter name is Prefect's own")

    monkeypatch.setattr(orchestrator, "start", refuse)
    run = store.intend(intent(), now=now)

    with pytest.raises(ConfigurationError):
        store.start(run, orchestrator, now=now)

    assert store.get(run.id).status is RunStatus.FAILED
    assert store.unstarted(before=now + timedelta(days=1)) == []


def test_an_ended_run_stays_as_it_ended_and_its_result_may_follow(store, orchestrator, now):
    run = store.start(store.intend(intent(), now=now), orchestrator, now=now)
    orchestrator.turn(run.orchestrator_id, RunStatus.SUCCEEDED)

    ended = store.refresh(run, orchestrator, now=now)
    store.note(run.id, RunStatus.FAILED, "too late", now=now)
    store.note(run.id, RunStatus.SUCCEEDED, result_id="ds-1", now=now)
    after = store.get(run.id)

    assert (ended.status, ended.result_id) == (RunStatus.SUCCEEDED, None)
    assert (after.status, after.message, after.result_id) == (RunStatus.SUCCEEDED, "", "ds-1")


def test_a_run_that_the_orchestrator_lost_has_failed_with_that_reason(store, orchestrator, now):
    run = store.start(store.intend(intent(), now=now), orchestrator, now=now)
    orchestrator.runs.clear()

    lost = store.refresh(run, orchestrator, now=now)

    assert lost.status is RunStatus.FAILED
    assert "No run o-run-1" in lost.message


def test_cancelling_ends_an_intent_at_once_and_asks_for_the_end_of_a_run(store, orchestrator, now):
    waiting = store.intend(intent("run-1"), now=now)
    begun = store.start(store.intend(intent("run-2"), now=now), orchestrator, now=now)

    first = store.cancel(waiting, None, by="user:ben", now=now)
    with pytest.raises(OrchestratorError, match="run-2 has begun"):
        store.cancel(begun, None, by="user:ben", now=now)
    second = store.cancel(begun, orchestrator, by="user:ben", now=now)

    assert (first.status, first.message) == (RunStatus.CANCELLED, "cancelled by user:ben")
    assert second.status is RunStatus.CANCELLED
    assert store.start(first, orchestrator, now=now).orchestrator_id is None
    assert store.cancel(second, orchestrator, by="user:ben", now=now) == second


def test_a_run_that_is_cancelled_while_it_is_started_is_cancelled_there_too(
    store, orchestrator, now, monkeypatch
):
    run = store.intend(intent(), now=now)
    real = orchestrator.start

    def slow(*arguments, **options):
        store.cancel(run, orchestrator, by="user:ben", now=now)
        return real(*arguments, **options)

    monkeypatch.setattr(orchestrator, "start", slow)
    started = store.start(run, orchestrator, now=now)

    assert started.status is RunStatus.CANCELLED
    assert orchestrator.read("o-run-1").status is RunStatus.CANCELLED


def test_pages_hold_every_run_once_newest_first(store, now):
    for number in range(5):
        store.intend(intent(f"run-{number}"), now=now + timedelta(seconds=number // 2))

    first = store.page("acme", limit=3)
    rest = store.page("acme", limit=3, before=(first[-1].created_at, first[-1].id))

    assert [run.id for run in first + rest] == ["run-4", "run-3", "run-2", "run-1", "run-0"]
    assert store.page("acme", limit=3, kind=RunKind.CANARY) == []
