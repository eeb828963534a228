"""The doctor at a real Prefect server."""

import json

import pytest

pytestmark = pytest.mark.slow


def test_the_doctor_finds_every_deployment_served_at_a_real_server(resumed):
    told = json.loads(resumed.command("doctor", "--only", "prefect", "--json"))

    assert {one["check"] for one in told} == {"prefect", "deployments", "workers", "schedules"}
    assert [one for one in told if one["state"] == "fault"] == []
    assert {one["check"]: one["state"] for one in told}["deployments"] == "ok"
