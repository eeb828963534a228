import asyncio
from datetime import UTC, datetime

import httpx
import pytest
import sqlalchemy as sa

from gateway_tuning.rollout.assignment import arm, bucket
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy, MetricMargins
from gateway_tuning.simulation import Visit, simulate_users
from gateway_tuning.storage.tables import canaries, endpoints

MESSAGES = [{"role": "user", "content": "hello"}]
POLICY = CanaryPolicy(
    stages=(0.2, 0.5),
    stage_seconds=0,
    max_seconds=3600,
    stale_seconds=600,
    min_users=20,
    min_rated_users=40,
    min_requests=40,
    metrics_to_monitor=("error_rate", "latency", "user_feedback", "token_count"),
    margins=MetricMargins(error_rate=0.1, latency=2.0, slow_share=0.5, user_feedback=0.15),
)
USERS = [f"user-{number}" for number in range(60)]


@pytest.fixture
def canary(registry):
    registry.serve("v2", "served-v2")
    registry.point("assistant", "v2", alias="candidate")
    store = CanaryStore(registry.engine)
    store.start(
        "c1",
        tenant="t",
        model="assistant",
        candidate="v2",
        control="v1",
        policy=POLICY,
        now=datetime.now(UTC),
        salt="always the same arms",
    )
    return store.get("c1")


def version_of(client, user, **options):
    raw = client.chat.completions.with_raw_response.create(
        model="assistant", messages=MESSAGES, **({"user": user} if user else {}), **options
    )
    return raw.headers["x-gateway-model-version"]


def expected(canary, user, share):
    return "v2" if arm(bucket(canary.salt, canary.id, user), share) == "canary" else "v1"


def set_share(registry, share):
    with registry.engine.begin() as connection:
        connection.execute(sa.update(canaries).values(share=share))


def test_each_user_stays_with_the_version_the_hash_gives(canary, start_gateway, registry):
    client = start_gateway().client()
    for _ in range(2):
        for user in USERS:
            assert version_of(client, user) == expected(canary, f"user:{user}", 0.2)
    stored = registry.outcomes(2 * len(USERS))
    assert {one.arm for one in stored} == {"canary", "control", "stable"}
    assert {one.canary_id for one in stored} == {"c1"}
    by_user = {}
    for one in stored:
        by_user.setdefault(one.user_key, set()).add(one.arm)
    assert len(by_user) == len(USERS)
    assert {len(arms) for arms in by_user.values()} == {1}


def test_a_raised_share_takes_effect_without_a_restart_and_sends_nobody_back(
    canary, start_gateway, registry, until
):
    client = start_gateway().client()
    before = {user: version_of(client, user) for user in USERS}
    set_share(registry, 0.5)
    newcomer = next(
        user for user in USERS if before[user] == "v1" and expected(canary, f"user:{user}", 0.5) == "v2"
    )
    until(lambda: version_of(client, newcomer) == "v2")
    after = {user: version_of(client, user) for user in USERS}
    assert after == {user: expected(canary, f"user:{user}", 0.5) for user in USERS}
    assert all(after[user] == "v2" for user in USERS if before[user] == "v2")


def test_user_header_and_session_header_stand_in_for_the_user(canary, start_gateway):
    client = start_gateway().client()
    for user in USERS:
        assert version_of(client, None, extra_headers={"x-user-id": user}) == expected(
            canary, f"user:{user}", 0.2
        )
        session = version_of(client, None, extra_headers={"x-session-id": user})
        assert session == expected(canary, f"session:{user}", 0.2)


@pytest.mark.usefixtures("canary")
def test_anonymous_requests_stay_out_of_the_comparison(start_gateway, registry):
    set_share(registry, 0.5)  # everybody with a name is in one of the two arms
    client = start_gateway().client()
    assert {version_of(client, None) for _ in range(20)} == {"v1"}
    stored = registry.outcomes(20)
    assert {one.arm for one in stored} == {"stable"}
    assert len({one.user_key for one in stored}) == 20


@pytest.mark.usefixtures("canary")
def test_a_canary_whose_control_is_no_longer_stable_gets_no_traffic(start_gateway, registry):
    registry.serve("v3", "served-v3")
    registry.point("assistant", "v3")
    client = start_gateway().client()
    assert {version_of(client, user) for user in USERS} == {"v3"}
    assert {one.canary_id for one in registry.outcomes(len(USERS))} == {None}


def test_a_canary_without_an_endpoint_is_silent_while_its_control_is_counted(canary, start_gateway, registry):
    with registry.engine.begin() as connection:
        connection.execute(sa.delete(endpoints).where(endpoints.c.version_id == "v2"))
    client = start_gateway().client()
    assert {version_of(client, user) for user in USERS} == {"v1"}
    assert {one.arm for one in registry.outcomes(len(USERS))} == {"control", "stable"}


async def replay(gateway, visits):
    return await simulate_users(
        f"{gateway.url}/v1",
        "assistant",
        visits,
        rate=lambda answer, preferred: 1.0 if answer == preferred else -1.0,
        concurrency=4,
        max_tokens=16,
    )


@pytest.mark.parametrize(("liked", "ends"), [("v2", "promoted"), ("v1", "rolled_back")])
@pytest.mark.usefixtures("canary")
def test_simulated_users_carry_a_canary_to_its_end(start_gateway, registry, until, liked, ends):
    gateway, store = start_gateway(), CanaryStore(registry.engine)
    visits = [Visit(f"visitor-{number}", MESSAGES, f"answer of served-{liked}") for number in range(150)]
    ended = store.get("c1")
    for _ in range(6):
        report = asyncio.run(replay(gateway, visits))
        assert (report.requests, report.errors, report.ratings) == (150, 0, 150)
        ended, _ = store.tick("c1", now=datetime.now(UTC))
        if ended.state != "running":
            break
    assert ended.state == ends
    until(lambda: version_of(gateway.client(), None) == liked)  # the alias moved or stayed
    looks = store.looks("c1")
    assert looks[-1].verdict["simulated_requests"] > 0
    assert all(one.simulated for one in registry.outcomes() if one.arm == "canary")


def test_simulated_users_stop_when_told_and_count_errors(start_gateway, registry):
    registry.serve("v1", "served-500")
    gateway = start_gateway()
    visits = [Visit(f"visitor-{number}", MESSAGES, "x") for number in range(10)]
    failed = asyncio.run(replay(gateway, visits))
    assert (failed.requests, failed.errors, failed.ratings, failed.versions) == (10, 10, 0, {})
    stopped = asyncio.run(
        simulate_users(
            f"{gateway.url}/v1",
            "assistant",
            visits,
            rate=lambda *_: None,
            concurrency=2,
            max_tokens=4,
            stop=lambda: True,
        )
    )
    assert stopped.requests == 0


def test_health_says_which_models_are_served(canary, start_gateway):
    health = httpx.get(f"{start_gateway().url}/healthz").json()
    assert health["routes"]["models"] == ["assistant"]
    assert health["status"] == "ok"


@pytest.mark.parametrize("figures", [(0.5, 0.2, 0.2), (0.5, 0.0, 0.0), (0.2, 1.0, 0.2)])
def test_no_more_users_meet_a_canary_than_was_approved(canary, start_gateway, registry, figures):
    share, approved, served = figures
    with registry.engine.begin() as connection:
        connection.execute(sa.update(canaries).values(share=share, approved_share=approved))
    gateway = start_gateway()
    client = gateway.client()
    for user in USERS:
        assert version_of(client, user) == expected(canary, f"user:{user}", served)
    shown = httpx.get(f"{gateway.url}/routes").json()["models"]["assistant"]["canary"]
    assert shown["share"] == served


@pytest.mark.parametrize("raw", ["[1]", "{cut o"])
def test_a_canary_ends_although_the_row_of_another_models_endpoint_is_broken(
    canary, start_gateway, registry, until, raw
):
    registry.serve("w1", "served-w1")
    registry.point("writer", "w1")
    set_share(registry, 0.5)
    gateway = start_gateway()
    client = gateway.client()
    user = next(one for one in USERS if expected(canary, f"user:{one}", 0.5) == "v2")
    assert version_of(client, user) == "v2"

    with registry.engine.begin() as connection:
        broken = sa.text("UPDATE endpoints SET extra_body = :raw WHERE version_id = 'w1'")
        connection.execute(broken, {"raw": raw})
        connection.execute(sa.update(canaries).values(state="rolled_back", share=0.0))

    until(lambda: version_of(client, user) == "v1")
    routes = httpx.get(f"{gateway.url}/healthz").json()["routes"]
    assert "extra_body" in routes["refused"]["w1"]


@pytest.mark.usefixtures("canary")
def test_a_header_names_the_same_user_as_the_body(start_gateway, registry):
    set_share(registry, 0.5)
    url = f"{start_gateway().url}/v1/chat/completions"
    body = {"model": "assistant", "messages": MESSAGES}
    httpx.post(url, json={**body, "user": "Zoë 世"})
    httpx.post(url, json=body, headers={b"x-user-id": "Zoë 世".encode()})
    assert len({one.user_key for one in registry.outcomes(2)}) == 1
