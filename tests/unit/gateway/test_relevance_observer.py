import asyncio
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.gateway.observing import Answered
from gateway_tuning.gateway.routing import Route
from gateway_tuning.gateway.scoring.process import Scoring
from gateway_tuning.gateway.scoring.relevance import RelevanceObserver, open_relevance
from gateway_tuning.gateway.scoring.texts import Ask, packed, texts_of, unpacked
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.storage.tables import outcomes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY = {"messages": [{"role": "user", "content": "Where is my order?"}]}


def route(arm="canary", version="v2", canary="c1", user="key"):
    return Route("assistant", version, Endpoint("http://x/v1", version), arm, canary, user)


def answered(answer_id="a1", text="Your order arrives tomorrow.", error=None, body=BODY, **of):
    return Answered(answer_id, route(**of), body, text, error, 5.0, 1, 2, NOW)


class Noting:
    """Stands in the place of the scoring process, and keeps what that would be sent."""

    def __init__(self):
        self.sent = []

    def submit(self, texts, metrics):
        self.sent.append(packed([Ask(texts, metrics)]))
        future = asyncio.get_running_loop().create_future()
        future.set_result({"relevance": 0.5})
        return future


names = st.text(min_size=1, max_size=8)


@given(st.sampled_from(["canary", "control", "stable"]), names, st.none() | names, names, st.uuids().map(str))
def test_the_scorer_is_sent_the_same_whoever_answered_whom(arm, version, canary, user, answer_id):
    """Arm, version, canary, user and answer id are not in it: it cannot know them."""

    async def sent(answer):
        noting = Noting()
        RelevanceObserver(None, noting, share=1.0).answered(answer)
        return noting.sent

    mine = asyncio.run(sent(answered(answer_id, arm=arm, version=version, canary=canary, user=user)))

    assert mine == asyncio.run(sent(answered()))
    assert len(mine) == 1


def test_whether_an_answer_is_scored_hangs_on_its_id_alone():
    observer = RelevanceObserver(None, Noting(), share=0.3)
    ids = [f"answer-{number}" for number in range(200)]

    wanted = [
        [observer.wants(one, route(arm=arm, version=arm)) for one in ids] for arm in ("canary", "control")
    ]

    assert wanted[0] == wanted[1]
    assert 0 < sum(wanted[0]) < 200


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"text": None, "error": "timeout"}, "failed"),
        ({"text": "half of an ans", "error": "cut_off"}, "failed"),
        ({"text": None}, "no text"),
        ({"text": "  ...\n"}, "no words"),
        ({"text": "I'm sorry, but I cannot help with that."}, "declined"),
        ({"body": {"messages": [{"role": "system", "content": "Be kind."}]}}, "no question"),
    ],
)
def test_an_answer_without_a_relevance_has_none_and_the_reason_is_counted(fields, reason):
    noting = Noting()
    observer = RelevanceObserver(None, noting, share=1.0)

    observer.answered(answered(**fields))

    assert noting.sent == []
    assert observer.skipped == {reason: 1}


text = st.text(max_size=30)


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), text), max_size=6), text)
def test_texts_travel_to_the_child_unchanged(turns, answer):
    texts = texts_of({"messages": [{"role": role, "content": said} for role, said in turns]}, answer)

    if texts is None:
        assert not any(role == "user" and said for role, said in turns)
    else:
        assert unpacked(packed([Ask(texts, ("relevance",))])) == [Ask(texts, ("relevance",))]


def test_the_question_is_what_the_user_asked_last_with_its_text_parts():
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    turns = [("system", "Be kind."), ("user", "Hello"), ("assistant", "Hi"), ("user", parts)]

    texts = texts_of({"messages": [{"role": role, "content": said} for role, said in turns]}, "A cat.")

    assert texts.question == "What is this?"
    assert texts.before == (("system", "Be kind."), ("user", "Hello"), ("assistant", "Hi"))


@pytest.fixture(scope="module")
def scoring():
    made = Scoring()
    yield made
    made.close()


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0.01)


def outcome(answer_id):
    return Outcome(answer_id, "assistant", "c1", "canary", "v2", "key", NOW, 5.0)


def test_relevance_is_written_to_the_outcome_even_where_that_comes_later(registry, scoring):
    store = OutcomeStore(registry.engine)
    store.write([outcome("a1")])

    async def observe():
        async with open_relevance(registry.engine, scoring, share=1.0, interval_s=0.02) as observer:
            observer.answered(answered("a1"))
            observer.answered(answered("a2"))
            await until(lambda: observer.written == 1)
            await asyncio.to_thread(store.write, [outcome("a2")])
            await until(lambda: observer.written == 2)
        return observer.lost

    assert asyncio.run(observe()) == 0
    with registry.engine.connect() as connection:
        values = connection.execute(sa.select(outcomes.c.relevance)).scalars().all()
    assert len(values) == 2
    assert all(0 < value <= 1 for value in values)


def test_a_score_whose_outcome_never_comes_is_given_up_and_counted(registry):
    async def observe():
        async with open_relevance(registry.engine, Noting(), share=1.0, interval_s=0.001) as observer:
            observer.answered(answered("lost itself"))
            await until(lambda: observer.lost)
        return observer.written

    assert asyncio.run(observe()) == 0


def test_while_the_store_is_away_scores_wait(registry):
    store = OutcomeStore(registry.engine)
    store.write([outcome("a1")])
    away = sa.exc.OperationalError("update", None, Exception("gone"))

    class Away:
        fails = 60

        def note_relevance(self, values):
            if self.fails:
                self.fails -= 1
                raise away
            return store.note_relevance(values)

    async def observe():
        observer = RelevanceObserver(Away(), Noting(), share=1.0)
        observer.answered(answered("a1"))
        errors = set()
        writing = asyncio.create_task(observer.keep_writing(0.001))
        async with asyncio.timeout(60):
            while not observer.written:
                errors.add(observer.error)
                await asyncio.sleep(0)
        writing.cancel()
        return errors, observer.error, observer.lost

    errors, error, lost = asyncio.run(observe())
    assert "OperationalError" in errors
    assert (error, lost) == (None, 0)
