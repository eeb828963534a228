"""How long a job goes on, as far as that can be known."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway_tuning.training.job import JobStatus, TuningSpec
from gateway_tuning.training.jobs import TuningJob
from gateway_tuning.training.watching.remaining import remaining
from tests.conftest import NOW

AT_WORK = TuningJob(
    key="k",
    tenant="t",
    spec=TuningSpec("llama", "base", "ds-1"),
    status=JobStatus.RUNNING,
    provider_job_id="p",
    message="",
    metrics={},
    created_at=NOW,
    updated_at=NOW,
    progress=0.25,
    started_at=NOW,
    moved_at=NOW + timedelta(hours=1),
)


def test_a_job_goes_on_as_fast_as_it_went():
    assert remaining(AT_WORK, NOW + timedelta(hours=1)) == timedelta(hours=3)
    assert remaining(AT_WORK, NOW + timedelta(hours=2)) == timedelta(hours=2)


def test_a_job_that_takes_longer_than_thought_has_nothing_left_but_is_not_early():
    assert remaining(AT_WORK, NOW + timedelta(hours=9)) == timedelta(0)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": JobStatus.QUEUED},
        {"status": JobStatus.SUCCEEDED, "progress": 1.0},
        {"progress": None},
        {"progress": 0.0},
        {"started_at": None},
        {"moved_at": NOW},
        {"stale_since": NOW},
        {"stop_requested_at": NOW},
    ],
)
def test_what_cannot_be_known_is_not_guessed(changes):
    assert remaining(replace(AT_WORK, **changes), NOW + timedelta(hours=1)) is None
