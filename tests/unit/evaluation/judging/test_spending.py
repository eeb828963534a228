"""Requests side by side never spend more than the cap, whatever they turn out to cost."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.judging.asking.spending import Allowance, Prices, prices_of
from gateway_tuning.evaluation.settings import JudgeSettings

settings = {"base_url": "http://judge.example/v1", "model": "judge-1"}


@given(
    st.integers(1, 400),
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 100), st.booleans()), max_size=40),
)
def test_what_is_spent_stays_below_the_cap_and_nobody_waits_for_ever(cap, requests):
    async def spend():
        allowance = Allowance(Decimal(cap))

        async def pay(held, share, again):
            await asyncio.sleep(0)
            allowance.settle(Decimal(held), Decimal(held * share) / 100)
            if again and await allowance.hold_again(Decimal(held)):
                await asyncio.sleep(0)
                allowance.settle(Decimal(held), Decimal(held))

        async with asyncio.TaskGroup() as tasks:
            for held, share, again in requests:
                if not await allowance.hold(Decimal(held)):
                    assert allowance.spent + held > cap
                    break
                tasks.create_task(pay(held, share, again))
        return allowance.spent

    async def in_time():
        async with asyncio.timeout(20):
            return await spend()

    assert asyncio.run(in_time()) <= cap


def test_a_question_without_an_answer_goes_before_a_new_one():
    async def order():
        allowance, granted = Allowance(Decimal(10)), []
        await allowance.hold(Decimal(10))

        async def take(name, hold):
            await hold(Decimal(5))
            granted.append(name)
            allowance.settle(Decimal(5), Decimal(0))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(take("new", allowance.hold))
            tasks.create_task(take("again", allowance.hold_again))
            await asyncio.sleep(0)
            allowance.settle(Decimal(10), Decimal(5))
        return granted

    assert asyncio.run(order()) == ["again", "new"]


def test_what_an_earlier_run_paid_leaves_less():
    async def left():
        allowance = Allowance(Decimal(10))
        allowance.add_before(Decimal(7))
        return await allowance.hold(Decimal(4)), await allowance.hold(Decimal(3)), allowance.spent

    assert asyncio.run(left()) == (False, True, 0)


def test_a_bound_counts_every_byte_and_the_longest_reply():
    prices = Prices(read=Decimal(1), written=Decimal(10), longest_reply=500)
    told = [
        {"role": "system", "content": "a" * 100},
        {"role": "user", "content": "\N{HEAVY BLACK HEART}" * 100},
    ]

    assert prices.bound(told) * 1_000_000 >= 100 + 3 * 100 + 10 * 500
    assert prices.cost(2_000_000, 1_000_000) == 12


def test_prices_are_exact_and_unknown_unless_both_are_set():
    both = prices_of(JudgeSettings(**settings, input_price=0.1, output_price=0.2, max_cost=1))

    assert both == Prices(Decimal("0.1"), Decimal("0.2"), 2_048)
    assert prices_of(JudgeSettings(**settings, output_price=0.2)) is None
    with pytest.raises(ConfigurationError, match=r"max_cost 2\.0 EUR and not both prices"):
        prices_of(JudgeSettings(**settings, output_price=0.2, max_cost=2, currency="EUR"))
