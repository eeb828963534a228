"""A tuning job on its page: how far it is, how its loss goes, and how it is stopped."""

import math
import re
from datetime import UTC, datetime, timedelta

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.api.dashboard.jobs import spread
from gateway_tuning.training.job import Checkpoint, JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.jobs import JobStore
from tests.api.conftest import PREFIX
from tests.api.dashboard.conftest import HOME


@pytest.fixture
def job(services):
    """At work for an hour and at 25 %."""
    store, now = JobStore(services.engine), datetime.now(UTC)
    key = store.intend(
        TuningSpec("llama", "base", "ds-1", hyperparameters={"rank": 8}), tenant="default", now=now
    ).key
    losses = [(10, {"validation_loss": 0.94}), (20, {"validation_loss": math.nan, "train_loss": 0.5})]
    points = tuple(Checkpoint(step, metrics) for step, metrics in losses)
    for minutes, progress in ((60, 0.01), (0, 0.25)):
        seen = ProviderJob("p", JobStatus.RUNNING, progress, f"at {progress:.0%}", checkpoints=points)
        store.record(key, seen, now=now - timedelta(minutes=minutes))
    return store.get(key)


def test_a_job_under_way_shows_its_progress_its_losses_and_what_is_left(signed_in, job):
    browser = signed_in(Role.MODEL_VIEWER)
    page, listed = browser.get(f"{HOME}/jobs/{job.key}").text, browser.get(f"{HOME}/jobs").text

    for shown in (page, listed):
        assert '<progress value="0.25" max="1"' in shown
        assert re.search(r"about (2 h 59|3 h 0) min", shown)
        assert "data-live" in shown
        assert '<meta http-equiv="refresh"' in shown
    assert 'aria-label="Loss by step: validation loss from 0.94 to 0.94; train loss from 0.5 to 0.5"' in page
    assert "not a number" in page
    assert f'href="{HOME}/datasets/ds-1"' in page


def test_a_job_that_has_ended_promises_nothing_more(signed_in, job, services):
    JobStore(services.engine).record(
        job.key, ProviderJob("p", JobStatus.FAILED, 0.25, "out of memory"), now=datetime.now(UTC)
    )

    page = signed_in().get(f"{HOME}/jobs/{job.key}").text

    assert "out of memory" in page
    assert "Left" not in page
    assert "data-live" not in page
    assert "<textarea" not in page


def test_progress_that_a_provider_does_not_tell_is_not_zero(signed_in, services):
    key = (
        JobStore(services.engine)
        .intend(TuningSpec("openai", "gpt", "ds-1"), tenant="default", now=datetime.now(UTC))
        .key
    )

    page = signed_in(Role.MODEL_VIEWER).get(f"{HOME}/jobs/{key}").text

    assert "not told" in page
    assert "<progress" not in page


def test_a_manager_stops_a_job_with_a_reason_that_is_kept(signed_in, job, client_for, services):
    browser = signed_in(Role.MODEL_MANAGER)
    page = browser.get(f"{HOME}/jobs/{job.key}")

    empty = browser.send(page, f"{HOME}/jobs/{job.key}/stop", reason="")
    assert JobStore(services.engine).get(job.key).stop_requested_at is None
    sent = browser.send(page, f"{HOME}/jobs/{job.key}/stop", reason="wrong dataset")
    after = browser.get(sent.headers["location"]).text

    assert (empty.status_code, sent.status_code) == (422, 303)
    assert JobStore(services.engine).get(job.key).stop_reason.endswith(": wrong dataset")
    assert "The job is to be stopped." in after
    assert "stopping" in after
    assert "<textarea" not in after
    assert [one["action"] for one in client_for().get(f"{PREFIX}/audit").json()["items"]] == [
        "training-job.cancel"
    ]


def test_a_viewer_sees_no_button_and_stops_nothing(signed_in, job, services):
    browser = signed_in(Role.MODEL_VIEWER)
    page = browser.get(f"{HOME}/jobs/{job.key}")
    token = re.search(r'name="form_token" value="([^"]+)"', page.text)[1]

    answer = browser.client.post(
        f"{HOME}/jobs/{job.key}/stop", data={"form_token": token, "reason": "because"}
    )

    assert "<textarea" not in page.text
    assert answer.status_code == 403
    assert JobStore(services.engine).get(job.key).stop_requested_at is None


@pytest.mark.parametrize(("count", "kept"), [(3, 3), (12, 12), (500, 12)])
def test_points_are_thinned_out_evenly_with_the_first_and_the_last(count, kept):
    found = spread(tuple(range(count)), 12)

    assert len(found) == kept
    assert (found[0], found[-1]) == (0, count - 1)
