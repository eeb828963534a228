"""What the canary cannot answer is answered by the stable version, and counted against the canary."""

from datetime import UTC, datetime, timedelta

import httpx
import openai
import pytest
import sqlalchemy as sa

from gateway_tuning.feedback import rating_token
from gateway_tuning.gateway.relay.proxy import RatingSigner
from gateway_tuning.processes import free_port
from gateway_tuning.rollout.assignment import arm, bucket, named
from gateway_tuning.storage.tables import canaries
from tests.conftest import NOW

MESSAGES = [{"role": "user", "content": "hello"}]
SALT = "always the same arms"


def someone(which):
    """A user of that arm at half of the traffic."""
    people = (f"user-{number}" for number in range(1000))
    return next(user for user in people if arm(bucket(SALT, "c1", named(user)), 0.5) == which)


@pytest.fixture
def start_canary(registry):
    """Half of the users meet v2, which behaves as told; the others are its control."""

    def start(behaviour, **where):
        registry.serve("v2", f"served-{behaviour}", **where)
        with registry.engine.begin() as connection:
            connection.execute(
                sa.insert(canaries).values(
                    id="c1", tenant="t", model="assistant", candidate="v2", control="v1", policy={}, salt=SALT,
                    state="running", stage=0, share=0.5, looks=0, reasons=[], started_at=NOW, stage_started_at=NOW,
                )
            )  # fmt: skip

    return start


def ask(client, user, **options):
    return client.chat.completions.with_raw_response.create(
        model="assistant", messages=MESSAGES, user=user, **options
    )


def words(reply):
    return "".join(chunk.choices[0].delta.content or "" for chunk in reply.parse())


@pytest.mark.parametrize(
    "case",
    [
        ("500", "status_500"),
        ("401", "status_401"),
        ("404", "status_404"),
        ("half", "invalid_json"),
        ("drop", "connection_lost"),
        ("empty", "no_choices"),
        ("slow", "timeout"),
    ],
)
def test_the_user_gets_stables_answer_and_the_canary_the_failure(
    start_canary, start_gateway, registry, upstream, case
):
    behaviour, code = case
    start_canary(behaviour)
    reply = ask(start_gateway(request_timeout_s=1.0).client(), someone("canary"))

    assert reply.parse().choices[0].message.content == "answer of served-v1"
    assert reply.headers["x-gateway-model-version"] == "v1"
    stored = registry.outcomes(1)
    assert [(one.arm, one.version_id, one.error, one.answered_by) for one in stored] == [
        ("canary", "v2", code, "v1")
    ]
    # Nothing of the answer that helped out is the canary's.
    assert (stored[0].completion_tokens, stored[0].answer_chars, stored[0].refused) == (None, None, None)
    assert [one["body"]["model"] for one in upstream.requests] == [f"served-{behaviour}", "served-v1"]


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [("500", "status_500"), ("empty", "cut_off"), ("error", "error_event"), ("silent", "timeout")],
)
def test_a_stream_that_broke_before_its_first_event_is_answered_by_stable(
    start_canary, start_gateway, registry, behaviour, code
):
    start_canary(behaviour)
    reply = ask(start_gateway(request_timeout_s=1.0).client(), someone("canary"), stream=True)

    assert words(reply) == "one two three"
    assert reply.headers["x-gateway-model-version"] == "v1"
    stored = registry.outcomes(1)[0]
    assert (stored.version_id, stored.error, stored.answered_by, stored.first_token_ms) == (
        "v2",
        code,
        "v1",
        None,
    )


def test_a_stream_that_has_begun_is_never_begun_again(start_canary, start_gateway, registry, upstream):
    start_canary("cut")
    with pytest.raises(openai.APIError, match="broke off"):
        words(ask(start_gateway().client(), someone("canary"), stream=True))

    assert [(one.error, one.answered_by) for one in registry.outcomes(1)] == [("cut_off", None)]
    assert len(upstream.requests) == 1


def test_a_canary_that_is_down_is_answered_for(start_canary, start_gateway, registry):
    start_canary("v2", base_url=f"http://127.0.0.1:{free_port()}/v1")

    assert ask(start_gateway().client(), someone("canary")).headers["x-gateway-model-version"] == "v1"
    assert [(one.error, one.answered_by) for one in registry.outcomes(1)] == [("unreachable", "v1")]


@pytest.mark.parametrize("status", [400, 413, 422, 429])
def test_a_fault_of_the_client_is_passed_on(start_canary, start_gateway, registry, upstream, status):
    start_canary(str(status))
    with pytest.raises(openai.APIStatusError) as caught:
        ask(start_gateway().client(), someone("canary"))

    assert caught.value.status_code == status
    assert caught.value.response.headers["x-gateway-model-version"] == "v2"
    assert [one.answered_by for one in registry.outcomes(1)] == [None]
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("which", ["control", "stable"])
def test_nobody_else_is_tried_twice(start_canary, start_gateway, registry, upstream, which):
    start_canary("v2")
    registry.serve("v1", "served-500")
    user = someone("control") if which == "control" else None
    with pytest.raises(openai.InternalServerError):
        ask(start_gateway().client(), *([user] if user else [openai.omit]))

    assert [(one.arm, one.error, one.answered_by) for one in registry.outcomes(1)] == [
        (which, "status_500", None)
    ]
    assert len(upstream.requests) == 1


def test_where_both_fail_the_client_sees_stables_failure_and_the_outcome_the_canarys(
    start_canary, start_gateway, registry
):
    start_canary("half")
    registry.serve("v1", "served-500")
    with pytest.raises(openai.InternalServerError) as caught:
        ask(start_gateway().client(), someone("canary"))

    assert caught.value.code == "status_500"
    assert [(one.error, one.answered_by) for one in registry.outcomes(1)] == [("invalid_json", None)]


def test_both_together_take_no_longer_than_one_request_may(start_canary, start_gateway, registry):
    start_canary("slow")
    registry.serve("v1", "served-slow")  # in the whole time it would have answered
    with pytest.raises(openai.InternalServerError) as caught:
        ask(start_gateway(request_timeout_s=1.6).client(), someone("canary"))

    assert (caught.value.status_code, caught.value.code) == (504, "timeout")
    assert [(one.error, one.answered_by) for one in registry.outcomes(1)] == [("timeout", None)]


@pytest.mark.parametrize("stream", [False, True])
def test_the_receipt_names_the_version_that_answered(start_canary, start_gateway, stream):
    start_canary("500")
    signing = RatingSigner(b"k" * 32, timedelta(days=7))
    gateway, user = start_gateway(signing=signing), someone("canary")
    body = {"model": "assistant", "messages": MESSAGES, "user": user, "stream": stream}

    headers = httpx.post(f"{gateway.url}/v1/chat/completions", json=body).headers

    token, answer = headers["x-gateway-rating-token"], headers["x-gateway-answer-id"]
    assert rating_token.version_of(signing.key, token) == "v1"
    assert rating_token.fault(signing.key, token, answer_id=answer, user=user, now=datetime.now(UTC)) is None


def test_an_answer_that_stable_gave_can_be_rated_at_once(start_canary, start_gateway, registry):
    start_canary("500")
    gateway = start_gateway(write_interval_s=60.0)
    answer = ask(gateway.client(), someone("canary")).headers["x-gateway-answer-id"]

    assert httpx.post(f"{gateway.url}/v1/answers/{answer}/rating", json={"score": 1}).status_code == 200
    assert [(one.rating, one.answered_by) for one in registry.outcomes()] == [(1.0, "v1")]
