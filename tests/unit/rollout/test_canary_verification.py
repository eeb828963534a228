"""Asking gateways whether a canary's end has arrived, over real HTTP."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway_tuning.errors import ConfigurationError, ServingError
from gateway_tuning.processes import free_port
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.served import GatewayRouter, Served, routers
from gateway_tuning.rollout.verification import UNVERIFIABLE, is_alarming, verify
from gateway_tuning.settings import Settings
from gateway_tuning.storage.tables import aliases
from tests.unit.rollout.test_canary import at, started
from tests.unit.rollout.test_canary_store import START, later, start
from tests.wire.server import running

KEY = "open sesame"
ROLLED_BACK = started(state="rolled_back", share=0.0, finished_at=at(100))
PROMOTED = replace(ROLLED_BACK, state="promoted")


@pytest.fixture
def gateway():
    """Starts gateways that say what they are told to; gives the router that asks one."""
    with ExitStack() as stack:

        def open_one(models=None, *, key=None, answer=None, error=None):
            def routes(request):
                if request.headers.get("authorization") != (f"Bearer {KEY}" if key else None):
                    return JSONResponse({"error": "no"}, 403)
                if answer is not None:
                    return answer
                return JSONResponse({"models": models, "loaded_at": None, "error": error})

            url = stack.enter_context(running(Starlette(routes=[Route("/routes", routes)])))
            return GatewayRouter(url + "/", key)

        yield open_one


def serving(stable, canary=None):
    return {"m": {"stable": stable, "canary": canary}}


def trial(canary_id="c1"):
    return {"id": canary_id, "candidate": "v2", "share": 0.25}


def test_a_router_tells_stable_canary_and_share(gateway):
    router = gateway(serving("v1", trial()))
    assert router.served("m") == Served("v1", "v2", "c1", 0.25)
    assert router.served("other") == Served(None)


def test_the_status_key_is_shown_and_a_wrong_one_is_named(gateway):
    assert gateway(serving("v1"), key=KEY).served("m") == Served("v1")
    with pytest.raises(ServingError, match="GATEWAY_TUNING_GATEWAY_STATUS_KEY"):
        gateway(serving("v1"), key="wrong").served("m")


@pytest.mark.parametrize(
    "answer",
    [
        Response("not json"),
        JSONResponse([1]),
        JSONResponse({"models": {"m": {"canary": None}}}),
        JSONResponse({"models": {"m": {"stable": "v1", "canary": {"id": "c1"}}}}),
        JSONResponse({}),
        RedirectResponse("http://127.0.0.1:1/routes"),
    ],
    ids=["no JSON", "a list", "no stable", "half a canary", "nothing", "a redirection"],
)
def test_an_answer_that_no_gateway_gives_is_an_error(gateway, answer):
    with pytest.raises(ServingError):
        gateway(answer=answer).served("m")


def test_routes_that_may_be_old_say_nothing(gateway):
    with pytest.raises(ServingError, match="may be old: OperationalError"):
        gateway(serving("v1"), error="OperationalError: gone").served("m")


def test_an_address_without_a_scheme_is_refused():
    with pytest.raises(ConfigurationError, match="write http"):
        GatewayRouter("gateway:8080")
    with pytest.raises(ConfigurationError):
        GatewayRouter("file:///etc/passwd")


def test_settings_name_all_gateways():
    settings = Settings(gateway_urls="http://one:1/, https://two", gateway_status_key=KEY)
    assert [router.name for router in routers(settings)] == ["http://one:1", "https://two"]
    assert routers(Settings()) == ()


def test_an_end_is_verified_once_every_gateway_serves_stable_and_nobody_the_canary(gateway):
    found = verify(ROLLED_BACK, "v1", [gateway(serving("v1")), gateway(serving("v1"))])
    assert found.verified
    assert found.told == "2 gateways serve v1 as stable and nobody canary c1"


@pytest.mark.parametrize(
    ("canary", "stable", "models", "told"),
    [
        (ROLLED_BACK, "v1", serving("v1", trial()), "still sends 25% of users to v2"),
        (PROMOTED, "v2", serving("v1"), "serves v1 as stable of m, not v2"),
        (PROMOTED, "v2", {}, "serves nothing as stable of m, not v2"),
    ],
)
def test_one_gateway_that_serves_something_else_is_named(gateway, canary, stable, models, told):
    good, bad = gateway(serving(stable)), gateway(models)
    found = verify(canary, stable, [good, bad])
    assert not found.verified
    assert bad.name in found.told
    assert good.name not in found.told
    assert told in found.told


def test_a_newer_canary_of_the_same_candidate_is_none_of_its_business(gateway):
    assert verify(ROLLED_BACK, "v1", [gateway(serving("v1", trial("c2")))]).verified


def test_a_gateway_that_does_not_answer_is_no_proof(gateway):
    dead = GatewayRouter(f"http://127.0.0.1:{free_port()}")
    found = verify(ROLLED_BACK, "v1", [gateway(serving("v1")), dead])
    assert not found.verified
    assert dead.name in found.told


def test_without_an_address_nothing_is_verified_and_that_is_said():
    found = verify(ROLLED_BACK, "v1", [])
    assert (found.verified, found.told) == (False, UNVERIFIABLE)
    assert not is_alarming(ROLLED_BACK, found, at(10_000))


def test_what_has_not_arrived_after_ten_seconds_is_alarming(gateway):
    found = verify(ROLLED_BACK, "v1", [gateway(serving("v1", trial()))])
    assert not is_alarming(ROLLED_BACK, found, at(109))
    assert is_alarming(ROLLED_BACK, found, at(111))
    arrived = verify(ROLLED_BACK, "v1", [gateway(serving("v1"))])
    assert not is_alarming(ROLLED_BACK, arrived, at(111))


def test_what_is_found_is_kept_until_it_is_verified(engine, gateway):
    with engine.begin() as connection:
        connection.execute(
            sa.insert(aliases).values(model="m", alias="stable", version_id="v1", updated_at=START)
        )
    store = CanaryStore(engine)
    start(store)
    assert store.unverified() == []
    CanaryActions(engine).abort("c1", by="user:ben", reason="stop", now=later())

    (ended,) = store.unverified()
    store.note_verification(ended, verify(ended, store.stable("m"), []), now=later(1))
    assert store.unverified(asked=False) == []
    (again,) = store.unverified()
    assert (again.verified_at, again.verification) == (None, UNVERIFIABLE)
    store.note_verification(again, verify(again, store.stable("m"), [gateway(serving("v1"))]), now=later(2))

    assert store.unverified() == []
    assert store.get("c1").verified_at == later(2)
    assert store.get("c1").verification == "1 gateway serves v1 as stable and nobody canary c1"
