import time
from copy import deepcopy
from datetime import UTC, datetime

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.gateway.door.entrance import _estimate
from gateway_tuning.gateway.door.keys import GatewayKeyStore
from gateway_tuning.gateway.door.limits import WINDOW_S, Excess, Limits, RequestLimit, TokenLimit

MESSAGES = [{"role": "user", "content": "hello"}]
STEPS = st.lists(st.floats(0, 40), max_size=80)


def times(steps):
    now, found = 1_000.0, []
    for step in steps:
        now += step
        found.append(now)
    return found


@given(STEPS, st.integers(1, 8))
def test_no_minute_ever_has_more_requests_than_the_limit_and_none_is_refused_below_it(steps, limit):
    limits, taken = Limits(limit, None), []
    for now in times(steps):
        before = sum(1 for at in taken if at + WINDOW_S > now)
        admitted = not isinstance(limits.admit(now, 0), Excess)
        assert admitted == (before < limit)
        if admitted:
            taken.append(now)
    for start in taken:
        assert sum(1 for at in taken if start <= at < start + WINDOW_S) <= limit


@given(STEPS, st.integers(1, 8))
def test_after_the_wait_that_is_told_there_is_room(steps, limit):
    requests = RequestLimit(limit)
    for now in times(steps):
        excess = requests.excess(now)
        if excess is None:
            requests.take(now)
        else:
            assert 0 < excess.wait_s <= WINDOW_S + 1e-6
            later = deepcopy(requests)  # its clock must not run ahead
            assert later.excess(now + excess.wait_s + 1e-6) is None


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 300), st.floats(0, 30)), max_size=60))
def test_answers_one_after_the_other_exceed_the_tokens_of_a_minute_by_one_answer_at_most(asked):
    limit, tokens, now, uses = 500, TokenLimit(500), 1_000.0, []
    for pause, size, takes in asked:
        now += pause
        if tokens.excess(now) is not None:
            assert sum(used for at, used in uses if at + WINDOW_S > now) >= limit
            continue
        use = tokens.take(now, 1)
        began, now = now, now + takes
        tokens.settle(use, now, size)
        uses.append((began, size))
    for start, _ in uses:
        inside = [used for at, used in uses if start <= at < start + WINDOW_S]
        assert sum(inside[:-1]) < limit


@given(
    st.lists(
        st.tuples(st.floats(0, 10), st.integers(1, 300), st.floats(0, 1), st.floats(0, 200)), max_size=60
    )
)
def test_answers_under_way_together_stay_within_it_too_where_none_is_longer_than_was_expected(asked):
    limit, tokens, now = 500, TokenLimit(500), 1_000.0
    under_way, admitted = [], []
    for pause, estimate, part, takes in asked:
        now += pause
        for one in sorted((one for one in under_way if one[0] <= now), key=lambda one: one[0]):
            under_way.remove(one)
            tokens.settle(one[1], now, one[2])
        if tokens.excess(now) is None:
            under_way.append((now + takes, tokens.take(now, estimate), int(estimate * part)))
            admitted.append((now, int(estimate * part)))
    for start, _ in admitted:
        inside = [used for at, used in admitted if start <= at < start + WINDOW_S]
        assert sum(inside[:-1]) < limit


def test_what_an_answer_was_expected_to_take_and_did_not_is_free_again():
    limits = Limits(None, 100)
    use = limits.admit(0.0, 100)
    assert isinstance(limits.admit(1.0, 1), Excess)

    limits.settle(use, 2.0, 10)
    limits.settle(use, 2.0, 500)  # the first figure counts

    assert limits.standings(2.0)[0].remaining == 90


def test_an_answer_that_outlasts_its_minute_counts_from_its_end():
    tokens = TokenLimit(100)
    use = tokens.take(0.0, 1)
    assert tokens.standing(61.0).remaining == 100

    tokens.settle(use, 70.0, 100)

    assert tokens.excess(71.0) is not None
    assert tokens.excess(70.0 + WINDOW_S) is None


class Clock:
    """Real seconds, some of them skipped."""

    skipped = 0.0

    def __call__(self):
        return time.monotonic() + self.skipped


@pytest.fixture
def limited(registry, start_gateway):
    """A gateway, its clock, and a client whose key has the limits asked for."""

    def limited(*, max_retries=0, **limits):
        now = datetime.now(UTC)
        _, text = GatewayKeyStore(registry.engine).create("default", "shop", by="cli:test", now=now, **limits)
        clock = Clock()
        gateway = start_gateway(require_keys=True, clock=clock)
        return gateway.client(api_key=text, max_retries=max_retries), clock

    return limited


def ask(client, **options):
    return client.chat.completions.with_raw_response.create(model="assistant", messages=MESSAGES, **options)


def test_a_request_too_many_is_openais_429_with_the_time_to_wait_and_reaches_no_model(limited, upstream):
    client, _ = limited(requests_per_minute=2)
    left = [ask(client).headers["x-ratelimit-remaining-requests"] for _ in range(2)]

    with pytest.raises(openai.RateLimitError) as refused:
        ask(client)

    headers = refused.value.response.headers
    assert left == ["1", "0"]
    assert refused.value.code == "rate_limit_exceeded"
    assert 58 <= int(headers["retry-after"]) <= 60
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert len(upstream.requests) == 2


def test_the_official_client_waits_as_told_and_then_gets_its_answer(limited):
    client, clock = limited(requests_per_minute=1, max_retries=2)
    ask(client)
    clock.skipped = WINDOW_S - 0.4

    answer = ask(client)

    assert answer.retries_taken == 1
    assert answer.parse().model == "assistant"


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_count_once_the_answer_says_them_whole_or_streamed(limited, stream):
    client, clock = limited(tokens_per_minute=15)
    for _ in range(2):  # of 10 tokens each: the second is over by one answer
        answer = ask(client, stream=stream).parse()
        if stream:
            list(answer)

    with pytest.raises(openai.RateLimitError, match="15 tokens per minute") as refused:
        ask(client, stream=stream)

    assert refused.value.response.headers["x-ratelimit-remaining-tokens"] == "0"
    clock.skipped = WINDOW_S
    assert ask(client).status_code == 200


def test_an_answer_that_may_get_long_holds_its_tokens_until_it_is_there(limited):
    client, _ = limited(tokens_per_minute=1_000)

    first = ask(client, max_tokens=900)

    assert first.headers["x-ratelimit-remaining-tokens"] == "990"


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, 10),
        ({"max_tokens": 100}, 110),
        ({"max_completion_tokens": None, "max_tokens": 100}, 110),
        ({"max_completion_tokens": 50, "max_tokens": 100}, 60),
        ({"max_tokens": 100, "n": 3}, 310),
        ({"max_tokens": True, "n": "many"}, 10),
    ],
)
def test_what_a_request_may_come_to_counts_all_answers_that_it_asks_for(body, tokens):
    assert _estimate(body, 40) == tokens


def test_a_failed_answer_takes_no_tokens(limited, registry, until):
    client, _ = limited(tokens_per_minute=1_000)
    registry.serve("v1", "served-500")

    def fails():
        try:
            ask(client, max_tokens=900)
        except openai.InternalServerError:
            return True
        return False

    until(fails)
    registry.serve("v1", "served-v1")

    def answers():
        try:
            return ask(client)
        except openai.InternalServerError:
            return None

    until(answers)
    assert int(answers().headers["x-ratelimit-remaining-tokens"]) >= 1_000 - 10 * 10


def test_limits_are_each_keys_own_and_outlive_a_reload(registry, start_gateway, until):
    store, now = GatewayKeyStore(registry.engine), datetime.now(UTC)
    keys = [
        store.create("default", name, by="cli:test", now=now, requests_per_minute=1)[1] for name in ("a", "b")
    ]
    gateway = start_gateway(require_keys=True)
    first, second = (gateway.client(api_key=key) for key in keys)
    ask(first)
    _, third = store.create("default", "c", by="cli:test", now=now)  # the keys are read again

    def known():
        try:
            return ask(gateway.client(api_key=third))
        except openai.AuthenticationError:
            return None

    until(known)
    with pytest.raises(openai.RateLimitError):
        ask(first)
    assert ask(second).status_code == 200
