"""What Prefect's answers mean. The answers are those of its REST API; `tests/flows` asks a real server."""

from contextlib import contextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway_tuning.doctor.finding import State
from gateway_tuning.doctor.prefect import check_prefect, wanted
from gateway_tuning.settings import Settings
from tests.wire.server import running


def deployment(name, **changes):
    return {"name": name, "paused": False, "work_pool_name": "tuning", "status": "READY", **changes}


@contextmanager
def prefect(deployments=(), pools=(), *, late=0, version="3.8.8"):
    answers = {
        "/api/admin/version": version,
        "/api/deployments/filter": list(deployments),
        "/api/work_pools/filter": list(pools),
        "/api/flow_runs/count": late,
    }
    routes = [
        Route(path, lambda _request, told=told: JSONResponse(told), methods=["GET", "POST"])
        for path, told in answers.items()
    ]
    with running(Starlette(routes=routes)) as url:
        yield f"{url}/api"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "prefect.yaml").write_text("deployments: [{name: train}, {name: check}]\n")
    return tmp_path


def examined(url, folder):
    found = check_prefect(Settings(_env_file=None, home=folder, prefect_api_url=url), folder)
    return {one.check: one for one in found}


POOL = {"name": "tuning", "status": "READY", "is_paused": False}


def test_a_server_with_all_deployments_and_a_worker_is_well(folder):
    with prefect([deployment("train"), deployment("check")], [POOL]) as url:
        found = examined(url, folder)

    assert {one.state for one in found.values()} == {State.OK}
    assert found.keys() == {"prefect", "deployments", "workers", "schedules"}


def test_missing_and_paused_deployments_are_named_with_what_brings_them(folder):
    with prefect([deployment("train", paused=True)], [POOL]) as url:
        settings = Settings(_env_file=None, home=folder, prefect_api_url=url)
        found = [one for one in check_prefect(settings, folder) if one.check == "deployments"]

    assert [(one.state, name in one.told) for one, name in zip(found, ("check", "train"), strict=True)] == [
        (State.FAULT, True),
        (State.WARNING, True),
    ]
    assert "gateway-tuning deploy" in found[0].remedy


def test_a_pool_without_a_worker_is_a_fault_that_says_how_to_start_one(folder):
    both = [deployment("train"), deployment("check")]
    with prefect(both, [POOL | {"status": "NOT_READY"}]) as url:
        found = examined(url, folder)["workers"]

    assert found.state is State.FAULT
    assert "prefect worker start --pool tuning" in found.remedy


def test_deployments_that_nobody_serves_are_a_fault(folder):
    served = {"work_pool_name": None, "status": "NOT_READY"}
    with prefect([deployment("train", **served), deployment("check", work_pool_name=None)]) as url:
        found = examined(url, folder)["workers"]

    assert (found.state, "train" in found.told, "check" in found.told) == (State.FAULT, True, False)


def test_late_runs_and_another_version_are_warnings(folder):
    with prefect([deployment("train"), deployment("check")], [POOL], late=3, version="2.20.1") as url:
        found = examined(url, folder)

    assert (found["schedules"].state, found["prefect"].state) == (State.WARNING, State.WARNING)
    assert "3 runs are late" in found["schedules"].told


def test_nobody_at_the_address_and_something_else_there_are_faults(folder):
    with running(Starlette(routes=[])) as url:
        other = examined(f"{url}/api", folder)["prefect"]
    silent = examined("http://127.0.0.1:9/api", folder)["prefect"]

    assert (other.state, silent.state) == (State.FAULT, State.FAULT)
    assert "127.0.0.1:9" in silent.told


def test_no_server_is_said_to_be_none_and_no_fault(folder):
    found = list(check_prefect(Settings(_env_file=None, home=folder, prefect_api_url=None), folder))

    assert [one.state for one in found] == [State.NOT_CONFIGURED]


def test_outside_of_the_project_the_deployments_that_the_api_starts_are_looked_for(tmp_path):
    assert {"tuning-cycle", "train-model", "start-canary"} <= wanted(tmp_path)
