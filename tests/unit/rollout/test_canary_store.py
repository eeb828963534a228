import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.judge import judge
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.rollout.policy import CanaryPolicy, MetricMargins
from gateway_tuning.storage.tables import alias_history, aliases

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = CanaryPolicy(
    stages=(0.5,),
    stage_seconds=10,
    max_seconds=3600,
    stale_seconds=600,
    min_users=20,
    min_rated_users=20,
    min_requests=20,
    metrics_to_monitor=("error_rate", "latency", "user_feedback"),
    margins=MetricMargins(error_rate=0.1, latency=0.5, user_feedback=0.15),
)


@pytest.fixture(autouse=True)
def _two_versions(engine):
    with engine.begin() as connection:
        for alias, version in (("stable", "v1"), ("candidate", "v2")):
            connection.execute(
                sa.insert(aliases).values(model="m", alias=alias, version_id=version, updated_at=START)
            )


@pytest.fixture
def store(engine):
    return CanaryStore(engine)


def start(store, canary_id="c1", **changes):
    arguments = {
        "tenant": "t",
        "model": "m",
        "candidate": "v2",
        "control": "v1",
        "policy": POLICY,
        "now": START,
        **changes,
    }
    return store.start(canary_id, **arguments)


def test_a_canary_waits_for_the_models_other_one_and_one_with_an_old_control_for_nothing(store):
    assert store.obstacle("c1", model="m", control="v1") is None
    start(store)
    assert store.obstacle("c1", model="m", control="v1") is None  # it has started
    other = store.obstacle("c2", model="m", control="v1")
    old = store.obstacle("c2", model="m", control="v0")

    assert (other.reason, other.passes) == ("canary c1 of m has to end first", True)
    assert (old.passes, "points to v1, not to v0" in old.reason) == (False, True)


def traffic(engine, *, canary_likes, control_likes, users=120):
    """Each user of both arms asks once and rates; the given share of each arm likes the answer."""
    batch = [
        Outcome(
            answer_id=f"{arm}-{number}",
            model="m",
            canary_id="c1",
            arm=arm,
            version_id="v",
            user_key=f"{arm}-{number}",
            at=START + timedelta(seconds=5),
            latency_ms=500.0 + number,
            rating=1.0 if number < likes * users else -1.0,
        )
        for arm, likes in (("canary", canary_likes), ("control", control_likes))
        for number in range(users)
    ]
    OutcomeStore(engine).write(batch)


def pointers(engine):
    with engine.connect() as connection:
        return dict(connection.execute(sa.select(aliases.c.alias, aliases.c.version_id)).tuples().all())


def history(engine):
    with engine.connect() as connection:
        query = sa.select(alias_history.c.alias, alias_history.c.version_id).order_by(
            alias_history.c.sequence
        )
        return [tuple(row) for row in connection.execute(query)]


def later(seconds=20):
    return START + timedelta(seconds=seconds)


def test_a_better_candidate_becomes_stable_and_the_history_says_so(engine, store):
    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    canary, look = store.tick("c1", now=later())
    assert (canary.state, canary.share, canary.finished_at) == ("promoted", 0.0, later())
    assert (look.look, look.decision, look.share) == (1, "promote", 0.5)
    assert pointers(engine) == {"stable": "v2"}
    assert history(engine) == [("stable", "v2"), ("candidate", None)]
    assert look.verdict["canary_users"] == 120


def test_a_worse_candidate_loses_its_alias_and_stable_stays(engine, store):
    start(store)
    traffic(engine, canary_likes=0.2, control_likes=0.8)
    canary, look = store.tick("c1", now=later(1))
    assert (canary.state, look.decision) == ("rolled_back", "roll_back")
    assert pointers(engine) == {"stable": "v1"}
    assert history(engine) == [("candidate", None)]
    assert "user feedback" in canary.reasons[0]


def test_without_data_a_look_holds_and_is_kept(engine, store):
    start(store)
    canary, look = store.tick("c1", now=later())
    assert (canary.state, canary.looks, look.decision) == ("running", 1, "hold")
    assert any("no data" in reason for reason in look.reasons)
    assert pointers(engine) == {"stable": "v1", "candidate": "v2"}


def test_a_judge_that_raises_is_kept_as_a_look_that_holds(engine, store):
    def broken(*_):
        raise ZeroDivisionError("no arms")

    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    canary, look = store.tick("c1", now=later(), judge=broken)
    assert (canary.state, look.decision) == ("running", "error")
    assert look.verdict == {"failure": "the judge failed: ZeroDivisionError: no arms"}
    assert store.tick("c1", now=later(21))[0].state == "promoted"
    assert [one.decision for one in store.looks("c1")] == ["error", "promote"]


@pytest.mark.parametrize(("likes", "decision"), [(0.9, "promote"), (0.5, "hold")])
def test_two_looks_at_the_same_time_count_as_one(engine, store, likes, decision):
    start(store)
    traffic(engine, canary_likes=likes, control_likes=0.5, users=60)
    both_have_judged = threading.Barrier(2)
    results = []

    def judge_together(*arguments):
        both_have_judged.wait(timeout=30)
        return judge(*arguments)

    def tick():
        try:
            results.append(CanaryStore(engine).tick("c1", now=later(), judge=judge_together))
        except Exception as error:  # noqa: BLE001 - compared below
            results.append(error)

    threads = [threading.Thread(target=tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert [one.decision for one in store.looks("c1")] == [decision]
    assert history(engine) == ([("stable", "v2"), ("candidate", None)] if decision == "promote" else [])


def test_a_stable_alias_that_moved_makes_the_canary_invalid(engine, store):
    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    with engine.begin() as connection:
        connection.execute(sa.update(aliases).where(aliases.c.alias == "stable").values(version_id="v9"))
    assert store.tick("c1", now=later())[0].state == "invalid"
    assert pointers(engine) == {"stable": "v9"}


def test_a_stable_alias_that_moves_during_a_look_changes_nothing_at_all(engine, store):
    def move_alias_and_judge(*arguments):
        with engine.begin() as connection:
            connection.execute(sa.update(aliases).where(aliases.c.alias == "stable").values(version_id="v9"))
        return judge(*arguments)

    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    with pytest.raises(ConflictError, match="nothing was changed"):
        store.tick("c1", now=later(), judge=move_alias_and_judge)
    assert store.get("c1").looks == 0
    assert store.looks("c1") == []
    assert store.tick("c1", now=later(21))[0].state == "invalid"


def test_a_newer_candidate_keeps_its_alias_when_an_older_canary_ends(engine, store):
    start(store)
    traffic(engine, canary_likes=0.2, control_likes=0.8)
    with engine.begin() as connection:
        connection.execute(sa.update(aliases).where(aliases.c.alias == "candidate").values(version_id="v3"))
    assert store.tick("c1", now=later())[0].state == "rolled_back"
    assert pointers(engine) == {"stable": "v1", "candidate": "v3"}


def test_starting_twice_is_one_canary_with_one_salt(store):
    first = start(store)
    again = start(store, now=later())
    assert again == first
    assert [one.id for one in store.running("m")] == ["c1"]
    assert store.running("other") == []


def test_the_same_id_for_another_comparison_is_refused(store):
    start(store)
    with pytest.raises(ConflictError, match="another policy"):
        start(store, policy=POLICY.model_copy(update={"alpha": 0.01}))


def test_a_second_canary_of_a_model_waits_for_the_first_to_end(engine, store):
    start(store)
    with pytest.raises(ConflictError, match="running canary"):
        start(store, "c2")
    traffic(engine, canary_likes=0.2, control_likes=0.8)
    store.tick("c1", now=later())
    assert start(store, "c2").state == "running"


def test_a_control_that_is_not_stable_or_is_the_candidate_is_refused(store):
    with pytest.raises(ConflictError, match="points to v1"):
        start(store, control="v7")
    with pytest.raises(ConflictError, match="with itself"):
        start(store, candidate="v1")


def test_a_canary_that_has_ended_is_only_returned(engine, store):
    start(store)
    traffic(engine, canary_likes=0.9, control_likes=0.5)
    ended, look = store.tick("c1", now=later())
    assert store.tick("c1", now=later(5000)) == (ended, look)


def test_what_is_stored_is_what_was_decided(engine, store):
    start(store)
    traffic(engine, canary_likes=0.6, control_likes=0.6, users=25)
    held, _ = store.tick("c1", now=later())
    assert store.get("c1") == held
    assert held.last_look_at == later()
    assert held.policy == POLICY


def test_an_unknown_canary_is_named(store):
    with pytest.raises(NotFoundError, match="c404"):
        store.tick("c404", now=START)
