"""The gateway's figures for Prometheus."""

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway_tuning.gateway.telemetry.metrics import Condition, Metrics
from gateway_tuning.rollout.outcomes import Outcome
from tests.conftest import NOW

MESSAGES = [{"role": "user", "content": "hello"}]
PREFIX = "gateway_tuning_gateway_"


def figures(text):
    """Every sample by its name and labels."""
    return {
        (sample.name.removeprefix(PREFIX), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def outcome(**changes):
    fields = {
        "answer_id": "a", "model": "assistant", "canary_id": "c1", "arm": "canary", "version_id": "v2",
        "user_key": "u", "at": NOW, "latency_ms": 300.0,
    }  # fmt: skip
    return Outcome(**fields | changes)


def metrics(**condition):
    fields = {
        "outcomes_written": 0, "outcomes_pending": 0, "outcomes_lost": 0, "route_age_s": None,
        "routes_failing": False, "endpoints_refused": 0,
    }  # fmt: skip
    return Metrics(lambda: Condition(**fields | condition))


def test_requests_of_a_running_gateway_are_counted_with_their_tokens_and_times(
    start_gateway, registry, until
):
    gateway = start_gateway()
    client = gateway.client()
    client.chat.completions.create(model="assistant", messages=MESSAGES)
    list(client.chat.completions.create(model="assistant", messages=MESSAGES, stream=True))
    registry.serve("v1", "served-500")
    tries = []

    def fails():
        tries.append(None)
        try:
            client.chat.completions.create(model="assistant", messages=MESSAGES)
        except openai.InternalServerError:
            return True
        return False

    until(fails)
    stored = len(registry.outcomes(2 + len(tries)))
    until(lambda: httpx.get(f"{gateway.url}/healthz").json()["outcomes"]["pending"] == 0)
    found = figures(httpx.get(f"{gateway.url}/metrics").text)
    where = (("arm", "stable"), ("model", "assistant"), ("version", "v1"))

    assert found["requests_total", where[0], ("code", "status_500"), *where[1:]] == 1
    assert found["requests_total", where[0], ("code", "ok"), *where[1:]] == stored - 1
    assert found["request_seconds_count", *where] == stored
    assert found["first_token_seconds_count", *where] == 1
    assert found["tokens_total", where[0], ("kind", "completion"), *where[1:]] == 3 * (stored - 1)
    assert found["outcomes_written_total",] == stored
    assert found["routes_failing",] == 0


@pytest.mark.parametrize(("by", "result"), [("v1", "answered"), (None, "failed")])
def test_a_fallback_is_counted_by_what_came_of_it(by, result):
    counted = metrics()
    counted.ended(outcome(error="timeout", answered_by=by), fell_back=True)
    counted.ended(outcome(), fell_back=False)

    found = figures(counted.render().decode())
    labels = [("model", "assistant"), ("result", result), ("version", "v2")]
    assert found["fallbacks_total", *labels] == 1
    assert sum(value for (name, *_), value in found.items() if name == "fallbacks_total") == 1


def test_tokens_that_are_not_known_add_nothing_and_no_first_token_is_no_time():
    counted = metrics()
    counted.ended(outcome(prompt_tokens=None, completion_tokens=2), fell_back=False)

    found = figures(counted.render().decode())
    where = (("arm", "canary"), ("model", "assistant"), ("version", "v2"))
    assert found["tokens_total", where[0], ("kind", "completion"), *where[1:]] == 2
    assert found["tokens_total", where[0], ("kind", "prompt"), *where[1:]] == 0
    assert ("first_token_seconds_count", *where) not in found


def test_the_state_of_the_gateway_is_asked_at_each_scrape_and_an_unknown_age_is_absent():
    assert ("routes_age_seconds",) not in figures(metrics().render().decode())
    told = metrics(
        outcomes_lost=2, outcomes_pending=3, route_age_s=1.5, routes_failing=True, endpoints_refused=1
    )
    found = figures(told.render().decode())

    names = (
        "outcomes_lost_total",
        "outcomes_pending",
        "routes_age_seconds",
        "routes_failing",
        "endpoints_refused",
    )
    assert [found[name,] for name in names] == [2, 3, 1.5, 1, 1]


def test_refusals_by_a_limit_are_counted_by_the_limit():
    counted = metrics()
    for limit in ("requests", "tokens", "tokens"):
        counted.limited(limit)

    found = figures(counted.render().decode())
    assert [found["limited_total", ("limit", limit)] for limit in ("requests", "tokens")] == [1, 2]
