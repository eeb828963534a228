"""All questions of an evaluation, kept in a real store as they are answered."""

import asyncio
import contextlib
from collections import Counter

import pytest
import sqlalchemy as sa

from gateway_tuning.errors import ErasedError
from gateway_tuning.evaluation.running import asking
from gateway_tuning.evaluation.running.asking import Prediction
from gateway_tuning.evaluation.running.run import MOST_RUNS, Question, ask_all
from gateway_tuning.evaluation.running.store import Kept, PredictionStore, remove_abandoned
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.storage.tables import datasets, predictions
from tests.conftest import NOW
from tests.wire.faults import status

CHAT = "/chat/completions$"
SETTINGS = EvaluationSettings(concurrency=4, timeout_s=5)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.01)


@pytest.fixture
def store(engine):
    return PredictionStore(engine, "eval-1", "default", "ds-1")


@pytest.fixture
def make_questions(server, make_example):
    def make(number: int, parts=("candidate", "stable")):
        return [
            Question(example.id, part, f"version-{part}", Endpoint(server, part), example.messages)
            for example in map(make_example, range(number))
            for part in parts
        ]

    return make


def ask(questions, store, settings=SETTINGS):
    return asyncio.run(ask_all(questions, settings, store))


def retire(engine):
    with engine.begin() as connection:
        connection.execute(
            datasets.insert().values(
                build_key="b", id="ds-1", tenant="default", watermark=1, manifest_sha256="0", created_at=NOW,
                retired_at=NOW,
            )
        )  # fmt: skip


def test_every_answer_is_stored_and_told_in_the_order_of_the_questions(store, chat, make_questions):
    chat.delay_s = 0.02
    questions = make_questions(10)

    told = ask(questions, store)

    assert list(told) == [question.key for question in questions]
    assert {key: kept.prediction for key, kept in store.read().items()} == told
    assert {kept.version for kept in store.read().values()} == {"version-candidate", "version-stable"}
    assert chat.most_at_once <= 4


def test_what_is_stored_is_asked_of_nobody_again(store, chat, make_questions):
    first = ask(make_questions(3), store)
    chat.asked.clear()

    told = ask(make_questions(5), store)

    assert set(Counter(chat.times_asked).values()) == {1}
    assert len(chat.asked) == 4
    assert {key: told[key] for key in first} == first


def test_without_a_store_everything_is_asked_each_time(chat, make_questions):
    for _ in range(2):
        assert len(ask(make_questions(2), None)) == 4

    assert len(chat.asked) == 8


def test_an_error_that_is_the_answer_stays_one(store, chat, faults, make_questions):
    faults.on("POST", CHAT, status(400))
    [first] = ask(make_questions(1, parts=["candidate"]), store).values()

    [again] = ask(make_questions(1, parts=["candidate"]), store).values()

    assert again == first
    assert chat.asked == []


def test_what_nobody_answered_is_asked_by_the_next_run_and_replaced(store, faults, make_questions):
    faults.on("POST", CHAT, status(500), times=asking.ATTEMPTS)
    [away] = ask(make_questions(1, parts=["candidate"]), store).values()

    [back] = ask(make_questions(1, parts=["candidate"]), store).values()

    assert away.unavailable
    assert back.text == "one two three four 0"
    [kept] = store.read().values()
    assert (kept.prediction, kept.runs) == (back, 2)


def test_after_some_runs_nobody_is_asked_any_more(store, faults, make_questions):
    faults.on("POST", CHAT, status(500), times=99)

    for _ in range(MOST_RUNS + 2):
        [told] = ask(make_questions(1, parts=["candidate"]), store).values()

    assert told.unavailable
    assert faults.count("POST", CHAT) == MOST_RUNS * asking.ATTEMPTS


def test_the_first_answer_stays_where_two_runs_ask_the_same(store):
    first, second = (Prediction(text, None, 1.0, None, None) for text in ("first", "second"))

    for said in (first, second):
        store.write([Kept("ex000", "candidate", "v", said)], now=NOW)

    assert [kept.prediction for kept in store.read().values()] == [first]


def test_a_dataset_that_is_retired_meanwhile_ends_the_run_and_nothing_more_is_stored(
    store, chat, make_questions
):
    def says(_model, prompt):
        if prompt.endswith(" 3"):
            retire(store.engine)
            chat.says = lambda _model, prompt: prompt
        return prompt

    chat.says = says

    with pytest.raises(ErasedError, match="ds-1"):
        ask(make_questions(20), store, EvaluationSettings(concurrency=1))

    assert len(store.read()) == 6
    assert len(chat.asked) == 7


def test_rows_go_when_they_are_removed_or_abandoned_and_those_of_others_stay(engine, store):
    other = PredictionStore(engine, "eval-2", "default", "ds-1")
    later = NOW.replace(year=NOW.year + 1)
    for one, at in ((store, NOW), (other, later)):
        one.write([Kept("ex000", "candidate", "v", Prediction("a", None, 1.0, None, None))], now=at)

    remove_abandoned(engine, before=later)
    assert (len(store.read()), len(other.read())) == (0, 1)

    other.remove()
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(predictions)).scalar_one() == 0


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_whoever_gets_the_connection_next_waits_for_the_disk_as_before(store, broken):
    if broken:
        retire(store.engine)
    with contextlib.suppress(ErasedError):
        store.write([Kept("ex000", "candidate", "v", Prediction("a", None, 1.0, None, None))], now=NOW)

    assert len(store.read()) == (not broken)
    assert store.engine.pool.checkedin() == 1  # so this is the same one
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_server_waits_for_its_disk_again_after_an_answer_was_stored(store):
    store.write([Kept("ex000", "candidate", "v", Prediction("a", None, 1.0, None, None))], now=NOW)

    assert store.engine.pool.checkedin() == 1
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
