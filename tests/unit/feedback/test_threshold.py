import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway_tuning.cycles.cycle import CycleOutcome
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.datasets.recipe import RECIPE_VERSION
from gateway_tuning.errors import NotFoundError
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.threshold import EVENT, ThresholdStore
from gateway_tuning.feedback.threshold_watch import ThresholdWatch
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import feedback, thresholds
from gateway_tuning.storage.tenants import claim_model
from tests.conftest import NOW
from tests.orchestrator import MemoryOrchestrator


def store_of(engine, count=3, hours=24):
    return ThresholdStore(engine, default_count=count, default_hours=hours)


@pytest.fixture
def store(engine):
    return store_of(engine)


@pytest.fixture
def orchestrator():
    return MemoryOrchestrator()


def give(engine, *ids, tenant="acme", at=NOW, comment=None):
    records = [
        FeedbackRecord(
            id=id_, tenant=tenant, type="thumbs_up", prompt="p", response="r", comment=comment, timestamp=at
        )
        for id_ in ids
    ]
    FeedbackStore(engine).add(records, at)


def tune(engine, watermark=None, *, tenant="acme", model="assistant", plan=None, at=NOW):
    """A cycle that covers all feedback so far, and has ended."""
    cycles = CycleStore(engine)
    watermark = FeedbackStore(engine).watermark(tenant) if watermark is None else watermark
    cycle = cycles.open(
        tenant=tenant,
        model=model,
        plan=plan or {},
        watermark=watermark,
        incumbent="v",
        started_by="t",
        now=at,
    )
    cycles.finish(cycle.id, CycleOutcome.REJECTED, (), now=at)


def test_one_record_below_the_threshold_is_not_enough_and_the_next_one_crosses_it_once(engine, store, now):
    give(engine, "a", "b")
    assert store.reached("acme", now) == []

    give(engine, "c")
    (crossing,) = store.reached("acme", now)

    assert (crossing.tenant, crossing.model, crossing.watermark, crossing.counted) == (
        "acme",
        "assistant",
        0,
        3,
    )
    give(engine, "d", "e", "f")
    assert store.reached("acme", now) == []


def test_only_what_came_after_the_last_cycle_counts(engine, store, now):
    give(engine, "a", "b", "c")
    assert len(store.reached("acme", now)) == 1
    tune(engine)

    give(engine, "d", "e")
    assert store.reached("acme", now) == []
    give(engine, "f")
    (crossing,) = store.reached("acme", now)

    assert crossing.watermark == 3


def test_only_what_came_within_the_hours_counts(engine, store, now):
    give(engine, "a", "b", at=now - timedelta(hours=25))
    give(engine, "c", "d", at=now - timedelta(hours=23))
    assert store.reached("acme", now) == []

    give(engine, "e", at=now)

    assert len(store.reached("acme", now)) == 1


def test_what_was_said_anew_counts_anew_and_what_is_known_does_not(engine, store, now):
    give(engine, "a", "b")
    tune(engine)
    give(engine, "a", "b")  # known already
    give(engine, "a", "b", comment="better", at=now + timedelta(minutes=1))

    assert store.reached("acme", now + timedelta(minutes=1)) == []
    give(engine, "c")
    assert len(store.reached("acme", now + timedelta(minutes=1))) == 1


def test_each_model_of_a_tenant_has_its_own_setting_and_watermark(engine, store, now):
    for model in ("quick", "slow"):
        claim_model(engine, model, "acme", now=now)
    store.set("acme", "quick", count=1, hours=None)
    assert store.setting("acme", "slow").is_default

    give(engine, "a")
    assert [crossing.model for crossing in store.reached("acme", now)] == ["quick"]
    give(engine, "b", "c")
    assert [crossing.model for crossing in store.reached("acme", now)] == ["slow"]


def test_a_setting_can_be_taken_back_and_is_only_for_the_tenants_own_model(engine, store, now):
    claim_model(engine, "assistant", "acme", now=now)
    changed = store.set("acme", "assistant", count=7, hours=1.5)
    assert (changed.count, changed.hours, changed.is_default) == (7, 1.5, False)

    back = store.set("acme", "assistant", count=None, hours=None)

    assert (back.count, back.hours, back.is_default) == (3, 24, True)
    with pytest.raises(NotFoundError, match="No model assistant of globex"):
        store.set("globex", "assistant", count=1, hours=None)
    assert store.setting("acme", "assistant").is_default


def test_a_tenant_without_a_model_means_the_default_one_only_while_that_name_is_free(engine, store, now):
    give(engine, "a", "b", "c")
    give(engine, "a", "b", "c", tenant="globex")

    assert [crossing.model for crossing in store.reached("acme", now)] == ["assistant"]
    assert store.reached("globex", now) == []
    claim_model(engine, "globex-bot", "globex", now=now)
    assert [crossing.model for crossing in store.reached("globex", now)] == ["globex-bot"]


def test_the_event_has_one_id_and_carries_the_plan_of_the_last_cycle(engine, store, orchestrator, now):
    plan = CyclePlan(tenant="acme", model="assistant", recipe={"max_records": 77, "version": 1})
    claim_model(engine, "assistant", "acme", now=now)
    tune(engine, plan=plan.model_dump(mode="json"))
    give(engine, "a", "b", "c")

    assert store.announce(store.reached("acme", now), orchestrator, now) == 0
    (event,) = orchestrator.events

    assert (event.name, event.resource) == (EVENT, "gateway-tuning.model.assistant")
    assert event.payload["plan"]["recipe"]["max_records"] == 77
    assert event.payload["plan"]["recipe"]["version"] == RECIPE_VERSION  # what is built today
    assert (event.payload["tenant"], event.payload["watermark"]) == ("acme", 0)
    assert store.unannounced() == []


def test_a_plan_that_nobody_can_read_any_more_gives_the_default_one(engine, store):
    tune(engine, plan={"recipe": {"of": "long ago"}})

    assert store.plan("acme", "assistant") == CyclePlan(tenant="acme", model="assistant")


def test_what_could_not_be_announced_is_kept_with_its_error_and_announced_later(
    engine, store, orchestrator, now
):
    give(engine, "a", "b", "c")
    orchestrator.answers = False

    assert store.announce(store.reached("acme", now), orchestrator, now) == 1
    (waiting,) = store.unannounced("acme")
    assert waiting.error == "Prefect does not answer"

    orchestrator.answers = True
    assert store.announce(store.unannounced(), orchestrator, now) == 0
    assert [event.id for event in orchestrator.events] == [waiting.event_id]
    assert store.unannounced() == []


def test_a_crossing_is_unanswered_until_a_cycle_goes_beyond_it(engine, store, orchestrator, now):
    give(engine, "a", "b", "c")
    store.announce(store.reached("acme", now), orchestrator, now)

    assert store.unanswered(announced_before=now) == []
    assert len(store.unanswered(announced_before=now + timedelta(seconds=1))) == 1
    tune(engine)
    assert store.unanswered(announced_before=now + timedelta(seconds=1)) == []


def test_a_crossing_during_a_canary_waits_for_the_end_of_its_cycle(engine, store, orchestrator, now):
    cycles = CycleStore(engine)
    give(engine, "a")
    cycle = cycles.open(
        tenant="acme",
        model="assistant",
        plan={},
        watermark=1,
        incumbent="v",
        started_by="t",
        now=now,
    )
    cycles.enter_canary(cycle.id)
    claim_model(engine, "assistant", "acme", now=now)
    give(engine, "b", "c", "d")
    store.announce(store.reached("acme", now), orchestrator, now)
    later = now + timedelta(seconds=1)

    assert store.unanswered(announced_before=later) == []
    cycles.finish(cycle.id, CycleOutcome.PROMOTED, (), now=now)
    assert [crossing.watermark for crossing in store.unanswered(announced_before=later)] == [1]


def test_however_many_look_at_once_one_of_them_finds_the_crossing(engine, store, now):
    give(engine, "a", "b", "c")
    found, barrier = [], threading.Barrier(8)

    def look():
        barrier.wait()
        found.extend(store.reached("acme", now))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 1


def test_counting_reads_no_more_than_the_threshold_however_much_there_is(engine, now):
    rows = [
        {
            "tenant": "acme", "id": f"f{number}", "type": "thumbs_up", "event_time": now, "revision": -1,
            "received_at": now - timedelta(days=9), "content_hash": "0" * 64, "record": {},
        }
        for number in range(5000)
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(feedback.insert(), rows)
    statements = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append((args[2], args[3])))

    assert store_of(engine, count=10).reached("acme", now) == []

    sql, parameters = next(found for found in statements if "count(" in found[0])
    with engine.connect() as connection:
        prefix = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        plan = "\n".join(str(tuple(row)) for row in connection.exec_driver_sql(prefix + sql, parameters))
    assert "LIMIT" in sql.upper()
    assert "ix_feedback_tenant_sequence" in plan


def test_a_watch_announces_soon_and_never_fails_whoever_touches_it(engine, store, orchestrator):
    watch = ThresholdWatch(store, orchestrator, interval_s=0, now=lambda: NOW)
    give(engine, "a", "b", "c")
    watch.touch("acme", "globex")
    watch.close()
    assert [event.payload["tenant"] for event in orchestrator.events] == ["acme"]

    orchestrator.answers = False
    tune(engine)
    give(engine, "d", "e", "f")
    watch = ThresholdWatch(store, orchestrator, interval_s=0, now=lambda: NOW)
    watch.touch("acme")
    watch.close()
    assert watch.failures == 1
    assert len(store.unannounced("acme")) == 1


def test_a_watch_without_an_orchestrator_leaves_the_crossing_for_the_scheduled_check(engine, store):
    watch = ThresholdWatch(store, None, interval_s=0, now=lambda: NOW)
    give(engine, "a", "b", "c")
    watch.touch("acme")
    watch.close()

    assert len(store.unannounced("acme")) == 1
    assert watch.failures == 0


def test_a_watch_outlives_a_store_that_fails(engine, store, orchestrator, monkeypatch):
    def fail(*_):
        raise sa.exc.OperationalError("select", {}, RuntimeError("locked"))

    watch = ThresholdWatch(store, orchestrator, interval_s=0, now=lambda: NOW)
    monkeypatch.setattr(store, "reached", fail)
    watch.touch("acme")
    watch.close()

    assert watch.failures == 1


class Interleaving(RuleBasedStateMachine):
    """Feedback, looks, lost answers, checks and cycles in any order: each watermark is announced at most once."""

    def __init__(self):
        super().__init__()
        self.engine = open_database("sqlite://")
        self.store = store_of(self.engine)
        self.orchestrator = MemoryOrchestrator()
        self.given = 0

    @rule(count=st.integers(1, 4))
    def feedback_comes(self, count):
        give(self.engine, *(f"f{self.given + number}" for number in range(count)))
        self.given += count

    @rule()
    def somebody_looks(self):
        self.store.announce(self.store.reached("acme", NOW), self.orchestrator, NOW)

    @rule()
    def somebody_looks_and_is_killed(self):
        self.store.reached("acme", NOW)

    @rule()
    def the_check_runs(self):
        self.store.reached("acme", NOW)
        self.store.announce(self.store.unannounced(), self.orchestrator, NOW)

    @rule(answers=st.booleans())
    def the_orchestrator_turns(self, answers):
        self.orchestrator.answers = answers

    @rule()
    def a_cycle_ends(self):
        tune(self.engine)

    @invariant()
    def each_crossing_is_announced_once(self):
        watermarks = [event.payload["watermark"] for event in self.orchestrator.events]
        with self.engine.connect() as connection:
            crossed = list(connection.execute(sa.select(thresholds.c.watermark)).scalars())
        assert len(watermarks) == len(set(watermarks))
        assert set(watermarks) <= set(crossed)

    @invariant()
    def a_crossing_stands_for_enough_feedback(self):
        with self.engine.connect() as connection:
            for row in connection.execute(sa.select(thresholds)):
                assert row.counted == 3

    def teardown(self):
        self.orchestrator.answers = True
        self.the_check_runs()
        last = self.store.unannounced()
        assert last == []
        self.engine.dispose()


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(max_examples=25, stateful_step_count=25)


@settings(max_examples=25)
@given(batches=st.lists(st.integers(1, 5), max_size=8))
def test_however_feedback_is_cut_into_batches_the_threshold_is_crossed_once(batches):
    engine = open_database("sqlite://")
    store, found, total = store_of(engine, count=7), [], 0
    for size in batches:
        give(engine, *(f"f{total + number}" for number in range(size)))
        total += size
        found += store.reached("acme", NOW)
    engine.dispose()

    assert len(found) == (total >= 7)
