import shutil
import tempfile
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.errors import ConfigurationError, ConflictError, ErasedError, NotFoundError
from gateway_tuning.rollout.shadows.shadow import Pair, TokenPrices
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import aliases, model_versions
from tests.conftest import NOW
from tests.rollouts import shadow_store, start_shadow

PRICES = TokenPrices(Decimal(1), Decimal(2), "USD")
DAY = timedelta(days=1)


@pytest.fixture
def store(engine, now):
    return shadow_store(engine, now)


@pytest.fixture
def start(store, now):
    return partial(start_shadow, store, now)


def pair(shadow, answer_id="a1", cost=None):
    at = datetime.fromisoformat("2026-11-01T12:00:01+00:00")
    return Pair(shadow.id, answer_id, "key", at, {"failed": 0.0}, {"failed": 0.0}, 10.0, 12.0, None, cost)


def test_a_shadow_is_kept_as_it_was_started(store, start):
    shadow = start(budget=Decimal("1.50"), prices=PRICES)

    assert store.get(shadow.id) == shadow
    assert store.all("assistant") == [shadow]
    assert store.all("another") == []
    assert (shadow.control, shadow.spent, shadow.held) == ("v1", 0, 0)
    with pytest.raises(NotFoundError, match="shadow list"):
        store.get("unknown")


def test_without_a_price_the_cost_is_unknown_and_never_zero(store, start, now):
    shadow = start()
    assert store.reserve(shadow.id, None, now=now) == "granted"
    store.record(pair(shadow), bound=None, charged=None)

    kept = store.get(shadow.id)

    assert (kept.budget, kept.spent, kept.held) == (None, None, None)
    assert store.pairs(shadow.id)[0].cost is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"share": 0}, "above 0"),
        ({"share": 1.5}, "at most at 1"),
        ({"max_requests": 0}, "mirrors nothing"),
        ({"budget": Decimal(1)}, "price_file"),
        ({"budget": Decimal(0), "prices": PRICES}, "pays for no request"),
        ({"ends_at": datetime.fromisoformat("2026-10-01T00:00:00+00:00")}, "over already"),
    ],
)
def test_limits_that_cannot_be_are_refused(start, options, told):
    with pytest.raises(ConfigurationError, match=told):
        start(**options)


def test_what_cannot_be_compared_is_refused(start, store, engine, now):
    with pytest.raises(ConflictError, match="is the stable version"):
        start(candidate="v1")
    with pytest.raises(ConflictError, match="no endpoint"):
        start(candidate="v3")
    with pytest.raises(ConflictError, match="no stable version"):
        store.start(
            "unknown", tenant="t", candidate="v2", share=0.5, max_requests=1, budget=None, prices=None,
            ends_at=now + DAY, by="ann", now=now,
        )  # fmt: skip
    first = start()
    with pytest.raises(ConflictError, match=first.id):
        start()
    store.stop(first.id, by="ann", now=now)
    mark_erased(engine, now)
    with pytest.raises(ErasedError):
        start()


def mark_erased(engine, now):
    row = {
        "id": "v2", "tenant": "t", "model": "assistant", "base_model": "b", "provider": "llama", "files": {},
        "metrics": {}, "hyperparameters": {}, "created_at": now, "holds_erased_since": now,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(sa.insert(model_versions).values(row))


def test_exactly_as_many_requests_are_granted_as_were_allowed_however_many_gateways_ask(store, start, now):
    shadow = start(max_requests=7)
    grants = []

    def gateway():
        grants.extend(store.reserve(shadow.id, None, now=now) for _ in range(5))

    threads = [threading.Thread(target=gateway) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert grants.count("granted") == 7
    kept = store.get(shadow.id)
    assert (kept.requests, kept.state, kept.reasons) == (7, "finished", ("7 requests were mirrored",))
    assert store.running(now) == []


def test_what_requests_under_way_may_cost_is_held_and_their_cost_takes_its_place(store, start, now):
    shadow = start(max_requests=10, budget=Decimal(10), prices=PRICES)

    assert store.reserve(shadow.id, Decimal(6), now=now) == "granted"
    assert store.reserve(shadow.id, Decimal(6), now=now) == "unpaid"
    assert store.get(shadow.id).state == "running"
    store.record(pair(shadow, cost=Decimal("0.5")), bound=Decimal(6), charged=Decimal("0.5"))
    assert store.reserve(shadow.id, Decimal(6), now=now) == "granted"

    kept = store.get(shadow.id)
    assert (kept.spent, kept.held, kept.requests) == (Decimal("0.5"), Decimal(6), 2)


def test_it_ends_over_budget_once_a_usual_request_cannot_be_paid(store, start, now):
    shadow = start(max_requests=100, budget=Decimal(10), prices=PRICES)
    for number in range(10):
        assert store.reserve(shadow.id, Decimal("0.99"), now=now) == "granted"
        # Nobody told its usage: what was held is spent.
        store.record(pair(shadow, f"a{number}"), bound=Decimal("0.99"), charged=None)

    assert store.reserve(shadow.id, Decimal("0.99"), now=now) == "ended"

    kept = store.get(shadow.id)
    assert (kept.state, kept.spent, kept.held, kept.requests) == ("over_budget", Decimal("9.90"), 0, 10)
    assert "9.90 of 10 are spent" in kept.reasons[0]


def test_one_long_request_is_left_out_and_does_not_end_it(store, start, now):
    shadow = start(max_requests=100, budget=Decimal(10), prices=PRICES)

    assert store.reserve(shadow.id, Decimal(1_000), now=now) == "unpaid"
    assert store.reserve(shadow.id, Decimal("0.5"), now=now) == "granted"

    assert store.get(shadow.id).requests == 1


@settings(max_examples=10)  # each with a database of its own
@given(
    st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 20),
)
def test_neither_budget_nor_requests_are_ever_exceeded(migrated_sqlite, bounds, most):
    """Whatever requests may cost and do cost, whether gateways tell it or die before."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(migrated_sqlite, f"{folder}/store.db")
        engine = open_database(f"sqlite:///{folder}/store.db")
        store = shadow_store(engine, NOW)
        shadow = start_shadow(store, NOW, max_requests=most, budget=Decimal(10), prices=PRICES)
        for number, (cents, part, dies) in enumerate(bounds):
            bound = Decimal(cents) / 100
            if store.reserve(shadow.id, bound, now=NOW) == "granted" and not dies:
                charged = bound * Decimal(part)
                store.record(pair(shadow, f"a{number}"), bound=bound, charged=charged)
            kept = store.get(shadow.id)
            assert kept.spent + kept.held <= kept.budget
            assert kept.requests <= most
        engine.dispose()


def test_what_a_killed_gateway_held_stays_counted(store, start, now):
    shadow = start(max_requests=2, budget=Decimal(10), prices=PRICES)
    assert store.reserve(shadow.id, Decimal(6), now=now) == "granted"  # and then it is killed

    assert store.reserve(shadow.id, Decimal(6), now=now) == "unpaid"
    assert store.get(shadow.id).requests == 1


def test_it_ends_when_its_time_is_over_with_and_without_traffic(store, start, now):
    first = start()
    assert store.reserve(first.id, None, now=now + DAY) == "ended"
    second = start_shadow(store, now + DAY)
    assert [one.shadow for one in store.running(now + DAY)] == [second]
    assert store.running(now + 2 * DAY) == []

    assert [(one.state, one.reasons) for one in store.all()] == [("finished", ("its time is over",))] * 2


def test_it_ends_when_another_version_becomes_stable_or_its_candidate_holds_erased_data(
    store, start, engine, now
):
    moved = start()
    with engine.begin() as connection:
        connection.execute(sa.update(aliases).values(version_id="v0"))
    assert store.running(now) == []
    erased = start()
    mark_erased(engine, now)
    assert store.running(now) == []

    assert "now points to v0" in store.get(moved.id).reasons[0]
    assert "was erased" in store.get(erased.id).reasons[0]


def test_it_is_stopped_once_and_what_was_under_way_is_kept(store, start, now):
    shadow = start()
    store.reserve(shadow.id, None, now=now)

    stopped = store.stop(shadow.id, by="ann", now=now)
    store.record(pair(shadow), bound=None, charged=None)

    assert store.stop(shadow.id, by="bob", now=now + DAY) == stopped
    assert (stopped.state, stopped.reasons) == ("stopped", ("stopped by ann",))
    assert store.reserve(shadow.id, None, now=now) == "ended"
    assert store.pairs(shadow.id) == [pair(shadow)]


def test_a_pair_is_stored_once(store, start):
    shadow = start()
    store.record(pair(shadow), bound=None, charged=None)
    store.record(replace(pair(shadow), control_ms=99.0), bound=None, charged=None)

    assert store.pairs(shadow.id) == [pair(shadow)]
