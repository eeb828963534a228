"""A gateway that starts while its store is away serves the stable versions that it served before, and no canary."""

import json
import stat

import httpx
import pytest
import sqlalchemy as sa

from gateway_tuning.gateway.app import ROUTES_FILE
from gateway_tuning.gateway.snapshot import open_store, read_snapshot
from gateway_tuning.storage.tables import canaries
from tests.conftest import NOW

MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def file(home):
    return home / ROUTES_FILE


@pytest.fixture
def put_away(registry, tmp_path):
    """Takes the store away; what is called then brings it back."""

    def away():
        folder, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
        registry.engine.dispose()
        folder.rename(elsewhere)
        return lambda: elsewhere.rename(folder)

    return away


def start_canary(registry):
    registry.serve("v2", "served-v2")
    with registry.engine.begin() as connection:
        connection.execute(
            sa.insert(canaries).values(
                id="c1", tenant="t", model="assistant", candidate="v2", control="v1", policy={}, salt="s",
                state="running", stage=0, share=0.5, looks=0, reasons=[], started_at=NOW, stage_started_at=NOW,
            )
        )  # fmt: skip


def versions(gateway, users=30):
    client = gateway.client()
    return {
        client.chat.completions.with_raw_response.create(
            model="assistant", messages=MESSAGES, user=f"user-{number}"
        ).headers["x-gateway-model-version"]
        for number in range(users)
    }


def health(gateway):
    return httpx.get(f"{gateway.url}/healthz").json()


def test_it_serves_stable_alone_keeps_outcomes_and_goes_on_when_the_store_is_back(
    start_gateway, registry, home, put_away, until
):
    start_canary(registry)
    before = start_gateway(home=home)
    assert versions(before) == {"v1", "v2"}
    before.stop()
    seen = len(registry.outcomes(30))
    bring_back = put_away()

    gateway = start_gateway(home=home)
    assert versions(gateway) == {"v1"}
    told = health(gateway)
    assert told["status"] == "degraded"
    assert told["routes"]["error"]
    assert told["outcomes"]["pending"] == 30

    bring_back()
    assert len(registry.outcomes(seen + 30)) == seen + 30
    assert {(one.arm, one.canary_id) for one in registry.outcomes()[seen:]} == {("stable", None)}
    until(lambda: health(gateway)["routes"]["error"] is None)
    assert versions(gateway) == {"v1", "v2"}


def test_without_a_snapshot_it_says_that_it_has_no_routes(start_gateway, home, put_away):
    bring_back = put_away()
    gateway = start_gateway(home=home)
    reply = httpx.post(
        f"{gateway.url}/v1/chat/completions", json={"model": "assistant", "messages": MESSAGES}
    )
    bring_back()

    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "no_routes")


def test_the_snapshot_follows_the_store_and_is_for_its_account_alone(
    start_gateway, registry, home, file, until
):
    start_canary(registry)
    start_gateway(home=home)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = read_snapshot(file, registry.engine.url)
    assert (dict(kept.stable), set(kept.endpoints)) == ({"assistant": "v1"}, {"v1"})  # nothing of the canary

    registry.serve("v3", "served-v3")
    registry.point("assistant", "v3")
    until(lambda: dict(read_snapshot(file, registry.engine.url).stable) == {"assistant": "v3"})
    assert [one.name for one in home.iterdir() if one.name.startswith(ROUTES_FILE)] == [ROUTES_FILE]


def test_a_snapshot_that_cannot_be_written_stops_nobody_and_is_written_when_it_can_be(
    start_gateway, registry, home, file, until
):
    home.mkdir()
    file.mkdir()  # stands in the way
    gateway = start_gateway(home=home)
    assert versions(gateway, users=1) == {"v1"}

    file.rmdir()
    until(lambda: read_snapshot(file, registry.engine.url) is not None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"store": "another"}', b'{"store": 1, "stable": 2}'])
def test_a_snapshot_that_cannot_be_read_is_none(file, registry, content):
    file.parent.mkdir()
    file.write_bytes(content)

    assert read_snapshot(file, registry.engine.url) is None


def test_a_snapshot_of_another_store_is_not_served(start_gateway, registry, home, file):
    start_gateway(home=home)

    assert read_snapshot(file, sa.make_url("postgresql+psycopg://other/db")) is None


def test_an_endpoint_in_a_snapshot_that_is_not_allowed_gets_nothing(
    start_gateway, registry, home, file, put_away
):
    start_gateway(home=home).stop()
    content = json.loads(file.read_bytes())
    content["endpoints"]["v1"]["base_url"] = "http://attacker.example/v1"
    file.write_text(json.dumps(content))
    bring_back = put_away()
    gateway = start_gateway(home=home)
    reply = httpx.post(
        f"{gateway.url}/v1/chat/completions", json={"model": "assistant", "messages": MESSAGES}
    )
    bring_back()

    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_not_allowed")


def test_a_store_that_was_served_from_and_is_gone_is_not_made_anew(
    start_gateway, registry, home, file, put_away
):
    start_gateway(home=home).stop()
    url = registry.engine.url.render_as_string()
    bring_back = put_away()
    engine = open_store(url, file)

    with pytest.raises(sa.exc.OperationalError, match="there is no database at"):
        engine.connect()
    bring_back()
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM aliases")).scalar() == 1
    engine.dispose()


def test_a_first_start_makes_the_store(tmp_path):
    engine = open_store(f"sqlite:///{tmp_path / 'new' / 'store.db'}", tmp_path / "none.json")

    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM aliases")).scalar() == 0
    engine.dispose()
