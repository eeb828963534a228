"""Slots for requests, in the time of an event loop that does not wait."""

import asyncio
from datetime import UTC, datetime

import pytest

from gateway_tuning.evaluation.running.pacing import LONGEST_REST_S, Pace, retry_after_s

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Hurried(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer as soon as there is nothing else to do."""

    def __init__(self):
        super().__init__()
        self.jumped = 0.0

    def time(self):
        return self.jumped

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.jumped = max(self.jumped, self._scheduled[0]._when)
        super()._run_once()


def run(coroutine):
    with asyncio.Runner(loop_factory=Hurried) as runner:
        return runner.run(coroutine)


async def many(pace, number, *, work, log=None):
    """`number` requests of a second each; `work(n)` is done inside of the slot."""
    under_way, most = 0, 0

    async def one(n):
        nonlocal under_way, most
        async with pace.slot():
            under_way += 1
            most = max(most, under_way)
            if log is not None:
                log.append((n, asyncio.get_running_loop().time()))
            await asyncio.sleep(1)
            work(n)
            under_way -= 1

    await asyncio.gather(*map(one, range(number)))
    return most


def test_no_more_than_the_concurrency_are_under_way_and_they_go_in_the_order_of_asking():
    log = []

    most = run(many(Pace(3), 9, work=lambda _: None, log=log))

    assert most == 3
    assert log == [(n, float(n // 3)) for n in range(9)]


def test_a_refusal_halves_the_slots_down_to_one():
    async def refused_again_and_again():
        pace, seen = Pace(16), []
        for _ in range(6):
            async with pace.slot():
                pace.slow_down()
            seen.append(pace.slots)
        return seen

    assert run(refused_again_and_again()) == [8, 4, 2, 1, 1, 1]


def test_a_burst_of_refusals_halves_once():
    pace = Pace(16)

    run(many(pace, 16, work=lambda _: pace.slow_down()))

    assert pace.slots == 8


def test_slots_come_back_one_by_one_up_to_the_concurrency():
    pace = Pace(4)

    async def refused_then_well():
        for _ in range(2):
            async with pace.slot():
                pace.slow_down()
        seen = []
        for _ in range(12):
            async with pace.slot():
                pass
            seen.append(pace.slots)
        return seen

    seen = run(refused_then_well())

    assert seen[0] == 2  # one good answer at one slot
    assert seen == sorted(seen)
    assert seen[-1] == 4


def test_answers_to_requests_from_before_a_refusal_bring_no_slot_back():
    pace = Pace(8)

    run(many(pace, 8, work=lambda n: pace.slow_down() if n == 0 else None))

    assert pace.slots == 4


def test_nobody_gets_a_slot_before_the_server_wants_to_be_asked_again():
    pace, log = Pace(2), []

    run(many(pace, 6, work=lambda n: pace.slow_down(30) if n == 0 else None, log=log))

    assert [at for _, at in log[:2]] == [0, 0]
    assert all(at >= 31 for _, at in log[2:])


def test_a_server_that_asks_for_hours_is_asked_again_before():
    async def rested():
        pace = Pace(1)
        async with pace.slot():
            pace.slow_down(86_400)
        async with pace.slot():
            return asyncio.get_running_loop().time()

    assert run(rested()) == LONGEST_REST_S


def test_the_longest_of_several_rests_counts():
    async def rested():
        pace = Pace(2)
        async with pace.slot():
            pace.slow_down(20)
            pace.slow_down(5)
        async with pace.slot():
            return asyncio.get_running_loop().time()

    assert run(rested()) == 20


@pytest.mark.parametrize("granted", [False, True])
def test_who_gives_up_waiting_takes_no_slot_along(granted):
    async def cancelled_while_waiting():
        pace = Pace(1)
        async with pace.slot():
            waiting = asyncio.create_task(many(pace, 1, work=lambda _: None))
            await asyncio.sleep(0)
            if not granted:
                waiting.cancel()
                await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(5), pace.slot():
            return True

    assert run(cancelled_while_waiting())


def test_a_request_that_breaks_gives_its_slot_back():
    async def broken():
        pace = Pace(1)
        with pytest.raises(ZeroDivisionError):
            async with pace.slot():
                raise ZeroDivisionError
        async with asyncio.timeout(5), pace.slot():
            return True

    assert run(broken())


def test_no_slots_at_all_are_refused():
    with pytest.raises(ValueError, match="0 requests at a time"):
        Pace(0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Sun, 01 Nov 2026 12:01:30 GMT"}, 90),
        ({"retry-after": "Sun, 01 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "Sun, 01 Nov 2026 12:01:30"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_when_to_ask_again_is_read_from_the_refusal(headers, seconds):
    assert retry_after_s(headers, NOW) == seconds
