"""A judge that fails: no verdict is no value with its reason, and never half a point."""

import time
from collections import Counter
from decimal import Decimal

import pytest

from gateway_tuning.evaluation.judging.asking import persisting
from gateway_tuning.evaluation.judging.pairs import chosen
from gateway_tuning.evaluation.scored import Role
from tests.unit.evaluation.judging.world import PRICES, label, run, scored, settings, values
from tests.wire.faults import failed_reply, lost_reply, slow, status, truncated
from tests.wire.judge import longer

COMPLETIONS = "/chat/completions$"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(persisting, "_FIRST_WAIT_S", 0.01)


def test_a_server_without_json_schema_is_asked_for_an_object_and_asked_so_from_then_on(server, url, store):
    server.forms = {"json_object", "text"}

    judging = run([scored(number) for number in range(5)], settings(url, concurrency=1), store)

    assert set(values(judging).values()) == {1.0}
    assert {seen.body["response_format"]["type"] for seen in server.asked} == {"json_object"}
    assert judging.summary.requests == 11  # one was refused, before this was known


def test_a_server_that_knows_no_format_at_all_is_asked_in_words_alone(server, url, store):
    server.forms = {"text"}

    judging = run([scored(1)], settings(url, concurrency=1), store)

    assert values(judging) == {"ex001": 1.0}
    assert all("response_format" not in seen.body for seen in server.asked)
    assert all('"better", which is one of "A", "B" and "tie"' in seen.instructions for seen in server.asked)


def test_a_model_that_takes_no_temperature_no_seed_and_another_limit_is_asked_without(server, url, store):
    server.refuses = {"temperature", "seed", "max_tokens"}

    judging = run([scored(1), scored(2)], settings(url, concurrency=1, max_tokens=300), store)

    assert set(values(judging).values()) == {1.0}
    for seen in server.asked:
        assert seen.body["max_completion_tokens"] == 300
        assert seen.body["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    "content",
    [
        '{"better": "A"',
        "A is better",
        '{"better": "C", "reason": ""}',
        '{"better": "A", "better": "B"}',
        '[{"better": "A"}]',
        '{"better": "A"} {"better": "B"}',
        "",
    ],
)
def test_a_reply_that_is_no_verdict_gives_no_value(server, url, store, content):
    server.decide = lambda _: content

    judging = run([scored(1)], settings(url, concurrency=1), store)

    assert values(judging) == {"ex001": None}
    assert "no verdict" in judging.preferences["ex001"].notes[0]
    assert (judging.summary.pairs, judging.summary.failed, judging.summary.requests) == (1, 1, 6)
    assert len({seen.body["seed"] for seen in server.asked}) == 3


def test_a_reply_that_was_no_verdict_once_is_asked_for_again(server, url, store):
    times = Counter()

    def decide(seen):
        times[seen.first] += 1
        return longer(seen) if times[seen.first] > 1 else "hm"

    server.decide = decide

    judging = run([scored(1)], settings(url), store)

    assert values(judging) == {"ex001": 1.0}


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(503),
        status(429, retry_after=0.01),
        status(429),
        failed_reply(),
        truncated(says_so=True),
        lost_reply(),
        truncated(),
    ],
    ids=["500", "503", "429 with a time", "429", "failed after work", "half of the JSON", "lost", "cut off"],
)
def test_what_may_pass_is_tried_again(server, faults, url, store, fault):
    faults.on("POST", COMPLETIONS, fault, times=2)

    judging = run([scored(1)], settings(url), store)

    assert values(judging) == {"ex001": 1.0}
    assert judging.summary.requests == 4


def full_for(seconds):
    """Nobody is let in until then, and everybody is told when that is."""
    until = []

    async def refuse(app, scope, receive, send):
        until.append(time.monotonic() + seconds)
        left = until[0] - time.monotonic()
        if left > 0:
            await status(429, retry_after=left + 0.02)(app, scope, receive, send)
        else:
            await app(scope, receive, send)

    return refuse


def test_a_server_that_says_when_to_come_back_is_not_asked_before(server, faults, url, store):
    faults.on("POST", COMPLETIONS, full_for(0.4), times=1_000)

    judging = run([scored(number) for number in range(4)], settings(url, concurrency=2), store)

    assert set(values(judging).values()) == {1.0}
    assert judging.summary.requests <= 8 + 2  # only what was under way at once was refused


def test_a_server_that_asks_for_an_hour_is_not_waited_for(server, faults, url, store):
    faults.on("POST", COMPLETIONS, status(429, retry_after=3600), times=100)

    judging = run([scored(number) for number in range(30)], settings(url, concurrency=2), store)

    assert set(values(judging).values()) == {None}
    assert judging.summary.requests <= 2
    assert any("asks to wait 3600 s" in note for note in judging.notes)


def test_a_wrong_key_ends_the_run_at_once(server, faults, url, store):
    faults.on("POST", COMPLETIONS, status(401), times=1000)

    judging = run([scored(number) for number in range(50)], settings(url), store, [label(1)])

    assert set(values(judging).values()) == {None}
    assert judging.summary.requests <= 2
    assert (judging.summary.agreement, judging.summary.labels) == (None, 0)
    assert "401" in judging.preferences["ex001"].notes[0]


def test_a_judge_that_fails_again_and_again_is_given_up(server, faults, url, store):
    faults.on("POST", COMPLETIONS, status(400), times=10_000)

    judging = run([scored(number) for number in range(100)], settings(url, concurrency=1), store)

    assert set(values(judging).values()) == {None}
    assert faults.count("POST", COMPLETIONS) == 20 * 3  # with a schema, an object, and neither
    assert "20 questions in a row" in judging.preferences["ex001"].notes[0]


def test_a_few_failures_cost_their_pairs_alone(server, url, store):
    server.decide = lambda seen: "?" if "Question 3?" in seen.conversation else longer(seen)

    judging = run([scored(number) for number in range(20)], settings(url), store)

    assert values(judging).pop("ex003") is None
    assert sorted(map(str, values(judging).values())) == ["1.0"] * 19 + ["None"]
    assert (judging.summary.pairs, judging.summary.failed) == (20, 1)


def test_too_many_failures_make_the_metric_unknown(server, url, store):
    server.decide = lambda seen: "?" if "Question 1" in seen.conversation else longer(seen)

    judging = run([scored(number) for number in range(20)] + [scored(99, ours=None)], settings(url), store)

    assert set(values(judging).values()) == {None}
    assert (judging.summary.pairs, judging.summary.failed) == (20, 11)
    assert "no verdict on 11 of 20 pairs" in judging.preferences["ex000"].notes[0]


def test_too_many_failures_on_labels_leave_the_judge_untrusted(server, url, store):
    server.decide = lambda seen: "?" if "Question 1003" in seen.conversation else longer(seen)

    judging = run([scored(1)], settings(url), store, [label(number) for number in range(4)])

    assert values(judging) == {"ex001": 1.0}
    assert (judging.summary.agreement, judging.summary.labels) == (None, 0)
    assert any("Nothing is concluded from the preferences of people" in note for note in judging.notes)


def test_a_reply_that_comes_too_late_is_a_failure(server, faults, url, store):
    faults.on("POST", COMPLETIONS, slow(0.3), times=6)

    judging = run([scored(1)], settings(url, timeout_s=0.05), store)

    assert values(judging) == {"ex001": None}
    assert "no answer within 0.05 s" in judging.preferences["ex001"].notes[0]


@pytest.mark.parametrize("usage", ["told", "not told"])
@pytest.mark.parametrize(
    "faulty", [(), (failed_reply(), lost_reply(), truncated(says_so=True)) * 3], ids=["well", "faulty"]
)
def test_the_cap_is_never_exceeded_whatever_runs_side_by_side(wire, server, store, usage, faulty):
    _, faults, url = wire
    server.tells_usage = usage == "told"
    server.tokens = lambda seen: (
        len(str(seen.body["messages"]).encode()) // 2,
        settings(url).judge.max_tokens,
    )  # about the worst
    server.delay_s = 0.005
    cap = 2.0
    for fault in faulty:
        faults.on("POST", COMPLETIONS, fault)

    judging = run([scored(n) for n in range(60)], settings(url, concurrency=8, **PRICES, max_cost=cap), store)

    true_cost = sum(
        (Decimal("2.5") * read + Decimal(10) * written) / 1_000_000 for read, written in server.billed
    )
    assert 0 < true_cost <= Decimal(str(cap))
    assert float(true_cost) <= judging.summary.spent <= cap
    judged = [each for each in judging.preferences.values() if each.value is not None]
    assert 0 < len(judged) < 60
    assert any("of 60 pairs were judged" in note and "max_cost (2.0 USD)" in note for note in judging.notes)


def test_at_the_cap_it_stops_and_says_how_many_pairs_were_judged(server, url, store):
    server.tokens = lambda _: (2_000, 500)  # a cent
    examples = [scored(number) for number in range(20)] + [
        scored(number, ours=None) for number in range(20, 40)
    ]

    judging = run(examples, settings(url, concurrency=8, **PRICES, max_cost=0.2), store)

    known = [value is not None for value in values(judging).values()]
    assert known == sorted(known, reverse=True)  # a part of the draw, what needs no judge included
    assert 0 < judging.summary.pairs < 20
    assert 0.15 < judging.summary.spent <= 0.2
    reason = list(judging.preferences.values())[-1].notes[0]
    assert f"{judging.summary.pairs} of 20 pairs were judged" in reason


def test_what_an_earlier_run_paid_for_counts_towards_the_cap(server, url, store):
    server.tokens = lambda _: (2_000, 500)
    examples = [scored(number) for number in range(20)]
    how = settings(url, **PRICES, max_cost=0.2)
    first = run(examples, how, store)

    again = run(examples, how, store)
    assert values(again) == values(first)
    assert (again.summary.requests, again.summary.spent) == (0, 0.0)

    more = run(examples, settings(url, **PRICES, max_cost=2.0), store)
    assert None not in values(more).values()
    assert max(server.orders.values()) == 1


def test_after_a_pair_that_is_too_dear_a_cheaper_one_is_not_asked_about_either(server, url, store):
    examples = [scored(number) for number in range(6)]
    in_order = chosen(examples, Role.STABLE, most=6, seed=0)
    dear = in_order[2].example.id
    examples = [
        scored(n, ours="a" * 9_000, theirs="b" * 8_000) if dear == f"ex{n:03}" else scored(n)
        for n in range(6)
    ]

    judging = run(examples, settings(url, concurrency=1, **PRICES, max_cost=0.11), store)

    assert list(values(judging).values()) == [1.0, 1.0, None, None, None, None]
    assert len(server.asked) == 4


def test_a_cap_below_one_pair_asks_nothing(server, url, store):
    judging = run([scored(1)], settings(url, **PRICES, max_cost=0.0001), store, [label(1)])

    assert server.asked == []
    assert values(judging) == {"ex001": None}
    assert judging.summary.agreement is None


def test_after_a_refusal_fewer_requests_are_under_way(server, faults, url, store):
    faults.on("POST", COMPLETIONS, status(429, retry_after=0.1), times=6)
    server.delay_s = 0.1

    judging = run([scored(number) for number in range(3)], settings(url, concurrency=8), store)

    assert set(values(judging).values()) == {1.0}
    assert server.most_at_once == 4
