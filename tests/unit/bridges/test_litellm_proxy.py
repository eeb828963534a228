"""LiteLLM's real proxy with our callback: the gateway's arms, the gateway's outcomes."""

import json
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import openai
import pytest

from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.looking import SILENT_USERS
from gateway_tuning.rollout.served import GatewayRouter, Served
from tests.unit.bridges.conftest import CANDIDATES, SHARE, STABLE, Caller
from tests.unit.gateway.conftest import wait_until

pytestmark = pytest.mark.slow
USERS = [f"user-{number}" for number in range(40)]


def test_a_user_has_the_same_arm_behind_litellm_as_behind_our_gateway(bridged, ours):
    versions = bridged.versions("assistant", USERS)

    assert versions == ours.versions("assistant", USERS)
    assert set(versions) == {"v1", "v2"}


def test_the_arms_own_deployment_answers_under_the_name_that_was_asked_for(bridged):
    answers = [bridged.ask("assistant", user).parse() for user in USERS[:12]]

    assert {answer.model for answer in answers} == {"assistant"}
    assert {answer.choices[0].message.content for answer in answers} == {
        "answer of served-v1",
        "answer of served-v2",
    }


def test_an_answer_is_stored_once_with_all_that_is_known_of_it(bridged, world):
    answer_id = bridged.ask("assistant", "somebody").headers["x-gateway-answer-id"]

    def stored():
        return [row for row in world.registry.outcomes() if row.answer_id == answer_id]

    wait_until(stored)
    bridged.ask("assistant", "somebody else")  # whatever else LiteLLM has to tell of the first
    (row,) = stored()
    assert (row.model, row.canary_id) == ("assistant", "canary-assistant")
    assert (row.error, row.prompt_tokens, row.completion_tokens) == (None, 7, 3)
    assert (row.prompt_chars, row.answer_chars, row.refused) == (18, 19, False)
    assert (row.first_token_ms, row.answered_by, row.simulated) == (None, None, False)
    assert 0 < row.latency_ms < 30_000


def test_the_outcomes_of_a_user_bear_the_key_that_our_gateway_gives(bridged, ours, world):
    ids = {caller.ask("assistant", "the same").headers["x-gateway-answer-id"] for caller in (bridged, ours)}

    def stored():
        return [row for row in world.registry.outcomes() if row.answer_id in ids]

    wait_until(lambda: len(stored()) == 2)
    assert len({(row.user_key, row.arm) for row in stored()}) == 1


def test_a_rating_reaches_the_answer(bridged, world):
    answer_id = bridged.ask("assistant", "rater").headers["x-gateway-answer-id"]
    request = urllib.request.Request(
        f"{bridged.url}/v1/answers/{answer_id}/rating",
        json.dumps({"score": -1}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200

    assert [row.rating for row in world.registry.outcomes() if row.answer_id == answer_id] == [-1.0]


def test_a_streamed_answer_is_stored_with_the_time_to_its_first_part(bridged, world):
    stream = bridged.client.chat.completions.create(
        model="assistant",
        messages=[{"role": "user", "content": "Hello"}],
        user="streamer",
        stream=True,
        stream_options={"include_usage": True},
    )
    text = "".join(part.choices[0].delta.content or "" for part in stream if part.choices)

    def stored():
        return [row for row in world.registry.outcomes() if row.first_token_ms is not None]

    wait_until(stored)
    row = stored()[0]
    assert text == "one two three"
    assert (row.error, row.answer_chars, row.prompt_chars) == (None, 13, 5)
    assert (row.prompt_tokens, row.completion_tokens) == (7, 3)
    assert 0 < row.first_token_ms <= row.latency_ms


def test_a_failing_arm_is_neither_asked_again_nor_helped_by_another(bridged, world):
    with pytest.raises(openai.InternalServerError):
        bridged.ask("failing", "unlucky")

    (row,) = world.outcomes("failing", 1)
    assert (row.version_id, row.error) == ("failing-1", "status_500")
    asked = [request["body"]["model"] for request in world.upstream.requests]
    assert asked.count("served-500") == 1


def test_a_stream_that_breaks_off_is_a_failure(bridged, world):
    with pytest.raises(openai.APIError):
        list(bridged.client.chat.completions.create(
            model="cut", messages=[{"role": "user", "content": "Hello"}], stream=True, user="one"
        ))  # fmt: skip

    (row,) = world.outcomes("cut", 1)
    assert row.error == "connection_lost"


def test_a_client_that_leaves_is_an_interruption(bridged, world):
    stream = bridged.client.chat.completions.create(
        model="pausing", messages=[{"role": "user", "content": "Hello"}], stream=True, user="one"
    )
    next(iter(stream))
    stream.close()

    (row,) = world.outcomes("pausing", 1)
    assert row.error == "interrupted"


def test_whoever_has_no_name_takes_part_in_no_comparison(bridged, world):
    versions = {bridged.ask("lonely").headers["x-gateway-model-version"] for _ in range(3)}

    assert versions == {"lonely-1"}
    assert {row.arm for row in world.outcomes("lonely", 3)} == {"stable"}


def test_a_model_that_is_not_of_the_registry_is_left_alone(bridged):
    answer = bridged.ask(
        "served-other", "somebody", extra_body={"metadata": {"gateway_tuning": {"x-forged": "1"}}}
    )

    assert answer.parse().choices[0].message.content == "answer of served-other"
    assert "x-gateway-answer-id" not in answer.headers
    assert "x-forged" not in answer.headers


@pytest.mark.parametrize(("name", "told"), [("lonely", "'nowhere-2'"), ("twins", "does nothing")])
def test_a_split_that_litellm_cannot_make_sends_nobody_to_the_candidate_and_says_so(
    bridged, proxy, name, told
):
    versions = bridged.versions(name, USERS)

    assert set(versions) == {STABLE[name][0]}
    assert bridged.status()["models"][name] == {"stable": STABLE[name][0], "canary": None}
    assert [told in fault for fault in bridged.status()["faults"]].count(True) == 1
    assert told in proxy.said()


def test_the_next_look_rolls_a_split_that_does_nothing_back(bridged, world):
    users = [f"another-{number}" for number in range(6 * SILENT_USERS)]
    bridged.versions("twins", users)
    rows = world.outcomes("twins", len(users))
    assert len({row.user_key for row in rows if row.arm == "control"}) >= SILENT_USERS

    hours_later = datetime.now(UTC) + timedelta(hours=3)
    canary, look = CanaryStore(world.engine).tick("canary-twins", now=hours_later)

    assert (canary.state, canary.share) == ("rolled_back", 0.0)
    assert "no outcome of the canary" in look.reasons[0]


def test_an_answer_by_another_deployment_counts_as_an_error(bridged, proxy, world):
    answer = bridged.ask("mixed", "somebody").parse()

    (row,) = world.outcomes("mixed", 1)
    assert answer.choices[0].message.content == "answer of served-v1"
    assert row.error == "mixed_arm"
    assert "mixes the arms" in proxy.said()


def test_requests_that_come_past_the_assignment_are_told_of(bridged, proxy):
    assert "came past the assignment" not in proxy.said()
    with pytest.raises(
        openai.NotFoundError
    ):  # the test's server knows chats alone; LiteLLM asked it all the same
        bridged.client.completions.create(model="bypassed", prompt="Where is my order?", user="somebody")

    wait_until(lambda: "came past the assignment" in str(bridged.status()["faults"]))
    assert "came past the assignment" in proxy.said()


def test_it_says_what_it_serves_as_our_gateway_does(bridged):
    status = bridged.status()

    candidate = {"id": "canary-assistant", "candidate": CANDIDATES["assistant"][0], "share": SHARE}
    assert status["models"]["assistant"] == {"stable": "v1", "canary": candidate}
    assert status["models"]["cut"] == {"stable": "cut-1", "canary": None}
    assert status["loaded_at"] is not None
    assert status["error"] is None


def test_a_canary_asks_it_what_it_serves_as_it_asks_our_gateway(bridged):
    router = GatewayRouter(f"{bridged.url}/gateway-tuning")

    assert router.served("assistant") == Served("v1", "v2", "canary-assistant", SHARE)
    assert router.served("cut") == Served("cut-1")
    assert router.served("nobody's") == Served(None)


def test_a_rollback_is_followed_without_a_restart(bridged, world):
    before = set(bridged.versions("moving", USERS))
    world.end_canary("moving")
    wait_until(lambda: bridged.status()["models"]["moving"]["canary"] is None)

    assert before == {"moving-1", "moving-2"}
    assert set(bridged.versions("moving", USERS)) == {"moving-1"}


def test_a_callback_in_the_wrong_list_splits_nothing_and_says_so(misplaced):
    misplaced.wait_until_ready()
    caller = Caller(misplaced.url)
    answers = {caller.ask("assistant", user).parse().choices[0].message.content for user in USERS[:12]}
    caller.client.close()

    assert answers == {"answer of served-v1"}
    wait_until(lambda: "litellm_settings.callbacks" in (caller.status()["error"] or ""), 20)
    assert "loaded but chooses no arms" in misplaced.said()


def test_a_proxy_that_is_stopped_stores_what_it_has_answered(bridged, proxy, world):
    """The last test of this proxy."""
    with (
        world.engine.begin()
    ):  # somebody else writes: the first outcome waits for them, the others for the first
        given = {bridged.ask("assistant", "first").headers["x-gateway-answer-id"]}
        time.sleep(1)
        given |= {bridged.ask("assistant", user).headers["x-gateway-answer-id"] for user in USERS[:8]}
        proxy.process.terminate()
        time.sleep(1)
    proxy.process.wait(30)

    stored = {row.answer_id for row in world.registry.outcomes()}
    assert given <= stored
