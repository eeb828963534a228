"""A run that ends in the middle goes on from what was kept, and asks for nothing twice that was."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway_tuning.errors import ErasedError
from gateway_tuning.evaluation.judging.judge import judge
from gateway_tuning.storage.tables import judgements
from tests.unit.evaluation.judging.test_judgement_store import retire
from tests.unit.evaluation.judging.world import NOW, label, run, scored, settings, values
from tests.wire.judge import longer

ROOT = Path(__file__).parents[4]
EXAMPLES = [scored(number) for number in range(15)]
LABELS = [label(number) for number in range(5)]
QUESTIONS = 2 * 20
CONCURRENCY = 4
WAIT_S = 30
PROCESS = """
import sys
from gateway_tuning.evaluation.judging.store import JudgementStore
from gateway_tuning.storage.database import open_database
from tests.unit.evaluation.judging.test_killed_judge import CONCURRENCY, EXAMPLES, LABELS
from tests.unit.evaluation.judging.world import run, settings
url, database = sys.argv[1:]
store = JudgementStore(open_database(database), "default", "ds-1")
run(EXAMPLES, settings(url, concurrency=CONCURRENCY), store, LABELS)
"""


def kept(engine):
    with engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(judgements)).scalar_one()


def test_a_run_that_is_cancelled_goes_on_where_it_was(server, url, store, sqlite):
    how = settings(url, concurrency=CONCURRENCY)

    async def cancelled():
        loop, task, answered = asyncio.get_running_loop(), asyncio.current_task(), []

        def decide(seen):
            answered.append(seen)
            if len(answered) == 15:
                loop.call_soon_threadsafe(task.cancel)
            return longer(seen)

        server.decide = decide
        await judge(EXAMPLES, LABELS, how, store, now=NOW)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    before = kept(sqlite)
    judging = run(EXAMPLES, how, store, LABELS)

    assert 15 - CONCURRENCY <= before < QUESTIONS
    assert (judging.summary.cached, judging.summary.requests) == (before, QUESTIONS - before)
    assert set(values(judging).values()) == {1.0}
    assert sum(times - 1 for times in server.orders.values()) <= CONCURRENCY


def test_a_run_whose_dataset_is_erased_ends_and_keeps_nothing_more(server, url, store, sqlite):
    server.decide = lambda seen: (len(server.asked) == 9 and retire(sqlite, "ds-1")) or longer(seen)

    with pytest.raises(ErasedError):
        run(EXAMPLES, settings(url, concurrency=1), store)

    assert kept(sqlite) == 8


@pytest.mark.slow
def test_a_process_killed_in_the_middle_goes_on_and_asks_nothing_twice_that_was_kept(
    server, url, store, sqlite
):
    server.delay_s = 0.03
    command = [sys.executable, "-c", PROCESS, url, sqlite.url.render_as_string(hide_password=False)]
    process = subprocess.Popen(command, cwd=ROOT)
    began = time.monotonic()
    while len(server.asked) < 15 and time.monotonic() - began < WAIT_S and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    before = kept(sqlite)

    judging = run(EXAMPLES, settings(url, concurrency=CONCURRENCY), store, LABELS)

    assert 15 - CONCURRENCY <= before < QUESTIONS
    assert (judging.summary.cached, judging.summary.requests) == (before, QUESTIONS - before)
    assert (set(values(judging).values()), judging.summary.agreement) == ({1.0}, 1.0)
    asked_twice = sum(times - 1 for times in server.orders.values())
    assert asked_twice <= CONCURRENCY  # those whose replies were on their way
    assert kept(sqlite) == QUESTIONS == len(server.orders)
