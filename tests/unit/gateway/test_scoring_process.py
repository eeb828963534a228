"""A real child process with the real scorers. One serves the whole module, through kills and hangs."""

import asyncio
import os
import signal
import sys
import time

import psutil
import pytest

from gateway_tuning.gateway.scoring.child import scored
from gateway_tuning.gateway.scoring.process import Scoring
from gateway_tuning.gateway.scoring.texts import Ask, Texts

TEXTS = Texts("Where is my order?", "Your order arrives tomorrow.")


@pytest.fixture(scope="module")
def scoring():
    made = Scoring(first_wait_s=0.05)
    yield made
    made.close()


def ask(scoring, *texts, metrics=("relevance",)):
    async def submitted():
        async with asyncio.timeout(60):
            return await asyncio.gather(*[scoring.submit(one, metrics) for one in texts])

    return asyncio.run(submitted())


def value(scores):
    (only,) = scores.values()
    return only


def test_an_answer_to_the_question_is_more_relevant_than_one_to_another(scoring):
    good, bad = ask(scoring, TEXTS, Texts(TEXTS.question, "Cats sleep all day."))

    assert 0 <= value(bad) < value(good) <= 1


def test_the_scorers_tell_their_names_and_versions(scoring):
    ask(scoring, TEXTS)

    assert {name.removesuffix("_lexical") for name in scoring.scorers} == {
        "relevance", "semantic_similarity", "refusal", "json_validity",
    }  # fmt: skip
    assert all(scoring.scorers.values())


def test_each_text_has_the_metrics_that_were_asked_for_and_no_other(scoring):
    (found,) = ask(
        scoring, Texts("Hello?", "I am sorry, but I cannot help with that request."), metrics=("refusal",)
    )

    assert found == {"refusal": 1.0}


def test_a_text_that_no_encoding_takes_is_scored_as_any_other(scoring):
    (found,) = ask(scoring, Texts("Where is my \ud800 order?\n", "Your order\n\x00 arrives \ud83d."))

    assert value(found) > 0


def test_the_child_gives_way_to_everything_else(scoring):
    ask(scoring, TEXTS)

    assert psutil.Process(scoring.pid).nice() > psutil.Process().nice() or psutil.Process().nice() == 19


def test_a_killed_child_is_started_again_and_counted(scoring):
    ask(scoring, TEXTS)
    before, restarts = scoring.pid, scoring.restarts
    os.kill(before, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before)], timeout=5)

    ask(scoring, TEXTS)  # it may be lost with the child
    (found,) = ask(scoring, TEXTS)

    assert value(found) > 0
    assert scoring.restarts == restarts + 1
    assert scoring.pid != before


def test_a_child_that_hangs_is_ended_and_its_texts_are_lost_and_counted(scoring):
    ask(scoring, TEXTS)
    lost = scoring.lost
    scoring._reply_s = 0.3
    os.kill(scoring.pid, signal.SIGSTOP)

    assert ask(scoring, TEXTS) == [None]

    scoring._reply_s = 60.0
    assert scoring.lost == lost + 1
    assert value(ask(scoring, TEXTS)[0]) > 0
    assert scoring.error is None


def test_what_finds_the_queue_full_is_dropped_and_counted():
    waiting = Scoring(limit=2, command=(sys.executable, "-c", "import time; time.sleep(60)"))

    async def submit():
        async with asyncio.timeout(10):
            futures = [waiting.submit(TEXTS, ("relevance",)) for _ in range(50)]
            await asyncio.gather(*[future for future in futures if future.done()])
            await asyncio.to_thread(waiting.close)
            return await asyncio.gather(*futures)

    assert asyncio.run(submit()) == [None] * 50
    assert 30 < waiting.dropped <= 48


def test_a_child_that_cannot_start_says_why_and_is_tried_later_each_time():
    broken = Scoring(first_wait_s=0.05, command=(sys.executable, "-c", "raise SystemExit(3)"))
    started = time.monotonic()

    assert [ask(broken, TEXTS) for _ in range(3)] == [[None]] * 3

    broken.close()
    assert "code 3" in broken.error
    assert broken.lost == 3
    assert time.monotonic() - started >= 0.05 + 0.1  # it waited between the tries


def test_closing_ends_the_child_and_nothing_waits_for_ever():
    ending = Scoring()
    ask(ending, TEXTS)
    child = psutil.Process(ending.pid)

    ending.close()

    assert not child.is_running()
    assert ask(ending, TEXTS) == [None]


class Breaks:
    card = type("Card", (), {"name": "relevance"})
    version = "1"

    def score(self, items):
        raise ValueError(f"cannot read {items[0].answer!r}")


def test_a_scorer_that_breaks_leaves_its_metric_unknown_and_quotes_no_text():
    reply = scored([Ask(Texts("q", "secret words"), ("relevance",))], {"relevance": Breaks()})

    assert reply == {"scores": [{"relevance": None}], "faults": {"relevance": "ValueError"}}
