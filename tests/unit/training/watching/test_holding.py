from datetime import timedelta

import pytest

from gateway_tuning.errors import ConflictError
from gateway_tuning.storage import leases
from gateway_tuning.training.job import JobStatus, ProviderJob
from gateway_tuning.training.watching.carrying import carry_alone
from gateway_tuning.training.watching.holding import hold
from gateway_tuning.training.watching.limits import Limits
from tests.unit.training.watching.scripted import Scripted, carrier_of, ended, running


def test_two_threads_of_one_process_do_not_hold_one_job_together(desk, clock):
    job = desk.intend()

    with (
        hold(desk.engine, job, clock=clock.now),
        pytest.raises(ConflictError, match=r"is held by .+\|\d+\|\d+\|"),
        hold(desk.engine, job, clock=clock.now),
    ):
        pass
    with hold(desk.engine, job, clock=clock.now) as lease:
        assert lease.fence == 2


def test_a_run_that_finds_the_job_taken_waits_until_the_holder_is_gone_and_goes_on(desk, clock, tmp_path):
    provider, job = Scripted([running(0.5), ended()]), desk.intend()
    desk.hold(job)  # by a process on another host, which never renews it

    done = carry_alone(desk.engine, carrier_of(provider, desk.jobs, clock, tmp_path), job.key)

    assert done.status is JobStatus.SUCCEEDED
    assert clock.seconds > 60
    assert provider.submissions == 1


def test_a_run_that_finds_the_job_taken_ends_with_what_the_holder_made_of_it(desk, clock, tmp_path):
    provider, job = Scripted([running()]), desk.intend()
    lease = desk.hold(job)

    def holder_works(seconds, sleep=clock.sleep):
        sleep(seconds)
        seen = ProviderJob("job-1", JobStatus.SUCCEEDED, metrics={"train_loss": 0.1})
        desk.jobs.record(job.key, seen, now=clock.now(), lease=lease)

    clock.sleep = holder_works
    done = carry_alone(desk.engine, carrier_of(provider, desk.jobs, clock, tmp_path), job.key)

    assert done.metrics == {"train_loss": 0.1}
    assert provider.submissions == 0


def test_nobody_waits_for_a_holder_longer_than_a_job_may_take(desk, clock, tmp_path):
    job = desk.intend(Limits(max_training_hours=0.1, max_queue_hours=0.1))
    leases.acquire(desk.engine, job.lease_name, owner="far|1|1", now=clock.now(), seconds=1e6)

    with pytest.raises(ConflictError, match=r"held by far\|1\|1"):
        carry_alone(desk.engine, carrier_of(Scripted([running()]), desk.jobs, clock, tmp_path), job.key)
    assert timedelta(hours=1.2) < timedelta(seconds=clock.seconds) < timedelta(hours=1.3)


def test_the_run_that_carries_a_job_is_known_by_it(desk, clock, tmp_path):
    job = desk.intend()
    provider = Scripted([running(0.5), ended()])
    provider.on_poll = lambda: waiting.append([one.key for one in desk.jobs.of_run("run-7")])
    waiting = []

    carry_alone(desk.engine, carrier_of(provider, desk.jobs, clock, tmp_path), job.key, run_id="run-7")

    assert waiting[0] == [job.key]
    assert desk.jobs.of_run("run-7") == []
