"""Tuning jobs over the API."""

from gateway_tuning.access.permissions import Role
from gateway_tuning.training.job import JobStatus, ProviderJob
from gateway_tuning.training.jobs import JobStore
from tests.api import owned
from tests.api.conftest import PREFIX
from tests.conftest import NOW


def test_a_job_is_asked_to_stop_and_has_not_ended_before_its_provider_says_so(client_for, services):
    key = owned.job(services, "default")
    admin = client_for()

    asked = admin.post(f"{PREFIX}/training-jobs/{key}/cancel").json()
    (entry,) = admin.get(f"{PREFIX}/audit").json()["items"]

    assert asked["status"] == "queued"
    assert asked["stop_requested_at"] is not None
    assert asked["stop_reason"].startswith("cancelled by ")
    assert (entry["action"], entry["object_id"]) == ("training-job.cancel", key)


def test_a_job_that_has_ended_stays_as_it_ended(client_for, services):
    key = owned.job(services, "default")
    JobStore(services.engine).record(key, ProviderJob("p", JobStatus.SUCCEEDED), now=NOW)

    answer = client_for().post(f"{PREFIX}/training-jobs/{key}/cancel").json()

    assert (answer["status"], answer["stop_requested_at"]) == ("succeeded", None)


def test_who_may_only_look_stops_nothing(client_for, services):
    key = owned.job(services, "default")

    assert client_for(Role.MODEL_VIEWER).post(f"{PREFIX}/training-jobs/{key}/cancel").status_code == 403
    assert JobStore(services.engine).get(key).stop_requested_at is None
