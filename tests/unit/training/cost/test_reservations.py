from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway_tuning.errors import BudgetError, ConfigurationError, NotFoundError
from gateway_tuning.training.cost.budgets import BudgetStore
from gateway_tuning.training.cost.estimate import Confidence, Estimate, Part
from gateway_tuning.training.cost.history import accuracy
from gateway_tuning.training.cost.limits import Budget, money
from gateway_tuning.training.cost.reservations import ReservationStore, State
from gateway_tuning.training.job import TuningSpec

SPEC = TuningSpec("acme", "m", "ds-1")


def costing(ceiling, currency="USD"):
    amount = None if ceiling is None else Decimal(ceiling)
    parts = (Part("tokens", amount, "the price of a token of m at acme is not known"),)
    level = Confidence.UNKNOWN if amount is None else Confidence.HIGH
    return Estimate(currency, parts, level, (), 1000, None, amount, amount)


@pytest.fixture
def store(engine):
    return ReservationStore(engine)


@pytest.fixture
def capped(engine, now):
    def cap(**limits):
        wanted = {name: limit if name == "currency" else Decimal(limit) for name, limit in limits.items()}
        BudgetStore(engine).set("t", Budget(**wanted), by="test", now=now)

    return cap


@pytest.fixture
def reserve(store, now):
    def make(key, ceiling, **more):
        found = costing(ceiling, more.pop("estimated_in", "USD"))
        return store.reserve(key, SPEC, found, **{"tenant": "t", "now": now} | more)

    return make


def test_without_a_cap_what_is_not_known_is_no_obstacle_and_is_remembered_as_unknown(reserve, store):
    made = reserve("a", None)

    assert (made.state, made.ceiling, made.counts) == (State.RESERVED, None, None)
    assert store.spending("t", "2026-11").unknown == ("a",)


@pytest.mark.parametrize(
    ("limits", "run", "told"),
    [
        ({}, {"per_run": Decimal(9)}, "this run's max_cost of 9.00 USD"),
        ({"per_run": 9}, {}, r"the 9.00 USD that a run may.*--per-run"),
        ({"per_month": 9}, {}, r"0.00 USD of the 9.00 USD for 2026-11.*--per-month"),
        ({"per_month": 90, "currency": "EUR"}, {}, "costs USD and its cap is in EUR"),
        ({}, {"per_run": Decimal(90), "currency": "EUR"}, "costs USD and its cap is in EUR"),
    ],
)
def test_a_job_over_a_cap_is_refused_by_name_with_the_remedy(capped, reserve, limits, run, told):
    if limits:
        capped(**limits)

    with pytest.raises(BudgetError, match=told) as refused:
        reserve("a", 10, **run)

    assert "Tuning m at acme on ds-1" in str(refused.value)


def test_a_job_that_is_refused_sets_nothing_aside(capped, reserve, store):
    capped(per_run=9)

    with pytest.raises(BudgetError):
        reserve("a", 10)

    assert store.of("t") == []


@pytest.mark.parametrize(
    ("limits", "run"), [({"per_run": 9}, {}), ({"per_month": 9}, {}), ({}, {"per_run": Decimal(9)})]
)
def test_a_capped_job_of_unknown_cost_is_refused_with_what_is_missing(capped, reserve, limits, run):
    if limits:
        capped(**limits)

    with pytest.raises(
        BudgetError, match=r"its cost is not known: the price of a token.*GATEWAY_TUNING_PRICE_FILE"
    ):
        reserve("a", None, **run)


def test_a_job_of_exactly_the_cap_is_let_through(capped, reserve):
    capped(per_run=10, per_month=10)

    assert reserve("a", 10, per_run=Decimal(10)).ceiling == 10


def test_jobs_of_a_month_add_up_and_another_month_or_tenant_begins_at_nothing(capped, reserve):
    capped(per_month=25)
    reserve("a", 10)
    reserve("b", 10)

    with pytest.raises(BudgetError, match=r"20.00 USD of the 25.00 USD"):
        reserve("c", 10)
    assert reserve("c", 10, now=datetime(2026, 12, 1, tzinfo=UTC)).month == "2026-12"
    assert reserve("d", 1000, tenant="other").ceiling == 1000


def test_a_job_that_is_declared_again_has_its_money_already(capped, reserve):
    capped(per_month=10)
    first = reserve("a", 10)

    assert reserve("a", 10) == first


def test_what_it_did_cost_takes_the_place_of_what_was_set_aside(capped, reserve, store, now):
    capped(per_month=25)
    reserve("a", 20)
    store.settle("a", Decimal(4), now=now)

    assert reserve("b", 20).state is State.RESERVED
    assert store.spending("t", "2026-11").amounts == {"USD": 24}


def test_a_job_whose_cost_nobody_told_goes_on_counting_with_its_ceiling(reserve, store, now):
    reserve("a", 20)
    store.settle("a", None, now=now)

    assert store.spending("t", "2026-11").amounts == {"USD": 20}
    store.settle("a", Decimal(3), now=now)
    assert store.spending("t", "2026-11").amounts == {"USD": 3}


def test_the_first_figure_stays(reserve, store, now):
    reserve("a", 20)
    store.settle("a", Decimal(3), now=now)
    store.settle("a", Decimal(9), now=now)

    assert store.get("a").actual == 3


def test_what_was_released_is_free_and_can_be_reserved_anew(capped, reserve, store, now):
    capped(per_month=10)
    reserve("a", 10)
    store.release("a", now=now)

    assert reserve("b", 10).state is State.RESERVED
    with pytest.raises(BudgetError):
        reserve("a", 10)


def test_a_settled_job_is_not_released(reserve, store, now):
    reserve("a", 10)
    store.settle("a", Decimal(4), now=now)
    store.release("a", now=now)

    assert store.get("a").counts == 4


def test_a_month_with_a_job_of_unknown_cost_lets_no_capped_job_through(capped, reserve):
    reserve("a", None)
    capped(per_month=100)

    with pytest.raises(BudgetError, match=r"what a cost in 2026-11 is not known.*costs reprice"):
        reserve("b", 1)


def test_a_month_in_two_currencies_lets_no_capped_job_through(capped, reserve):
    reserve("a", 1, estimated_in="EUR")
    capped(per_month=100)

    with pytest.raises(BudgetError, match="EUR was spent"):
        reserve("b", 1)


def test_an_estimate_that_comes_later_counts_from_then_on(reserve, store):
    reserve("a", None)
    store.estimate_again("a", costing(7))
    store.estimate_again("a", costing(9))

    assert store.get("a").ceiling == 7


def test_runs_side_by_side_do_not_overspend_together(capped, reserve, store):
    capped(per_month=50)

    def attempt(number):
        try:
            reserve(f"job-{number}", 10)
        except BudgetError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        let_through = list(threads.map(attempt, range(12)))

    assert sum(let_through) == 5
    assert store.spending("t", "2026-11").amounts == {"USD": 50}


def test_how_good_estimates_were_is_told_by_model(reserve, store, now):
    for key, actual in (("a", 8), ("b", 10), ("c", 15)):
        reserve(key, 10)
        store.settle(key, Decimal(actual), now=now)
    reserve("d", 10)

    (found,) = accuracy(store.of("t"))

    assert (found.jobs, found.middle, found.lowest, found.highest) == (3, 1, Decimal("0.8"), Decimal("1.5"))
    assert found.told == "3 earlier jobs cost 1.00 times the estimate (0.80 to 1.50)"


def test_a_budget_is_kept_and_lifted(engine, now):
    budgets = BudgetStore(engine)
    assert budgets.get("t") == Budget()

    budgets.set("t", Budget("EUR", Decimal("1.50"), Decimal(20)), by="test", now=now)
    assert budgets.all() == {"t": Budget("EUR", Decimal("1.50"), Decimal(20))}

    budgets.set("t", Budget("EUR"), by="test", now=now)
    assert not budgets.get("t").is_capped


def test_a_limit_below_zero_is_refused(engine, now):
    with pytest.raises(ConfigurationError, match="per month of t is -1"):
        BudgetStore(engine).set("t", Budget(per_month=Decimal(-1)), by="test", now=now)


def test_a_job_without_a_reservation_is_told(store):
    with pytest.raises(NotFoundError, match="costs list"):
        store.get("nothing")


@pytest.mark.parametrize(
    ("amount", "told"),
    [("3.6000", "3.60 USD"), ("0.0036", "0.0036 USD"), ("0", "0.00 USD"), ("1234.5678", "1234.57 USD")],
)
def test_money_is_told_with_cents_and_below_them_where_that_is_all(amount, told):
    assert money(Decimal(amount), "USD") == told


def test_a_cost_in_another_currency_than_the_estimate_is_counted_in_its_own(reserve, store, now):
    reserve("a", 20)
    store.settle("a", Decimal(3), now=now, currency="EUR")

    assert store.spending("t", "2026-11").amounts == {"EUR": 3}
    assert store.get("a").ratio is None
