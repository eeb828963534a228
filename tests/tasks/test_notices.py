"""The tasks behind deliver-notices and report-failure, with a server that answers as Prefect's."""

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway_tuning.notices.store import NoticeStore
from gateway_tuning.settings import Settings
from tasks import notices
from tasks.runtime import Runtime
from tests.unit.notices.servers import webhook
from tests.wire.server import running

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
WORDS = "the words of a user"


async def flow_run(request):
    id_ = request.path_params["id"]
    if id_ == "gone":
        return JSONResponse({"detail": "not found"}, 404)
    message = f"Flow run encountered an exception: ProviderUnavailableError: {WORDS}"
    return JSONResponse({"id": id_, "state": {"type": "FAILED", "message": message}})


@pytest.fixture
def rt(tmp_path, engine, monkeypatch):
    with (
        running(Starlette(routes=[Route("/api/flow_runs/{id}", flow_run)])) as prefect,
        webhook() as (url, came),
    ):
        found = Runtime(
            Settings(
                _env_file=None,
                home=tmp_path,
                database_url=engine.url.render_as_string(hide_password=False),
                prefect_api_url=f"{prefect}/api",
                notify_webhook_url=url,
            )
        )
        monkeypatch.setattr(notices, "runtime", lambda: found)
        yield found, came
        found.engine.dispose()


@pytest.mark.parametrize(
    ("run_id", "said"),
    [("run-1", "ProviderUnavailableError: A training provider did not answer"), ("gone", "did not say why")],
)
def test_prefect_is_asked_how_a_run_ended_and_only_the_errors_name_goes_on(rt, run_id, said):
    _, came = rt
    told = [notices.note_failed_run.fn(run_id, "tuning-cycle", "Failed", "", "default") for _ in range(2)]
    assert told[0] == told[1]
    notices.send_notices.fn()
    [(_, body)] = came
    assert said in body
    assert WORDS not in body


def test_what_is_new_is_found_and_sent_once(rt):
    found, came = rt
    assert notices.find_notices.fn() == 0
    assert notices.send_notices.fn() == {"sent": 1, "again": 0, "given_up": 0}
    assert notices.find_notices.fn() == 0
    assert notices.send_notices.fn() == {"sent": 0, "again": 0, "given_up": 0}
    assert "Notices begin" in came[0][1]
    [shown] = NoticeStore(found.engine).page("default", limit=5)
    assert shown.deliveries[0].sent_at is not None
