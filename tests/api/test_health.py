import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from gateway_tuning.api.services import build_services
from gateway_tuning.errors import OrchestratorError
from tests.api.conftest import PREFIX


class Orchestrator:
    """Answers or not, as `well` says. The real one has tests of its own against a real server."""

    def __init__(self):
        self.well = True

    def check(self):
        if not self.well:
            raise OrchestratorError("nobody answers")


@pytest.fixture
def orchestrator():
    return Orchestrator()


def test_a_service_that_reaches_everything_is_ready(open_client):
    answer = open_client().get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": {"store": "ok", "objects": "ok", "orchestrator": "ok"},
    }


def test_without_the_orchestrator_feedback_is_still_taken_so_it_stays_in_service(open_client, orchestrator):
    orchestrator.well = False

    answer = open_client().get("/readyz")

    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["checks"]["orchestrator"] == "unreachable"


def test_a_service_that_needs_no_orchestrator_says_so(engine, api_settings, start_server, open_client):
    services = build_services(api_settings, engine)

    answer = open_client().get(f"{start_server(services).url}/readyz")
    services.close()

    assert answer.json()["checks"]["orchestrator"] == "not configured"
    assert answer.json()["status"] == "ready"


def test_a_service_that_lost_its_store_lives_and_is_not_ready(
    api_settings, tmp_path, start_server, open_client
):
    lost = sa.create_engine(f"sqlite:///{tmp_path / 'nowhere' / 'store.db'}")
    services = build_services(api_settings, lost)
    url = start_server(services).url

    ready, alive, asked = (
        open_client().get(f"{url}/readyz"),
        open_client().get(f"{url}/healthz"),
        open_client("gt_0123456789ab_" + "A" * 43).get(f"{url}{PREFIX}/api-keys"),
    )
    services.close()

    assert (ready.status_code, alive.status_code) == (503, 200)
    assert ready.json()["checks"]["store"] == "unreachable"
    assert "nowhere" not in ready.text
    assert asked.status_code == 503
    assert asked.headers["retry-after"]


def test_the_loops_figures_are_shown_to_the_operator_alone(engine, api_settings, start_server, open_client):
    shut = api_settings.model_copy(update={"metrics_key": SecretStr("operators")})
    closed, local = (build_services(one, engine) for one in (shut, api_settings))
    closed_url, local_url = start_server(closed).url, start_server(local).url

    without = open_client().get(f"{closed_url}/metrics").text
    with_it = open_client("operators").get(f"{closed_url}/metrics").text
    from_here = open_client().get(f"{local_url}/metrics").text
    through_a_proxy = httpx.get(f"{local_url}/metrics", headers={"x-forwarded-for": "10.0.0.1"}).text
    closed.close()
    local.close()

    shown = [
        "gateway_tuning_loop_figures_readable 1.0" in one
        for one in (without, with_it, from_here, through_a_proxy)
    ]
    assert shown == [False, True, True, False]
    assert all("gateway_tuning_api_request" in one for one in (without, through_a_proxy))
