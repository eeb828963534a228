from datetime import timedelta

import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.training.job import JobStatus, ProviderJob
from gateway_tuning.training.provider import KnownJob
from gateway_tuning.training.watching.asking import Line
from gateway_tuning.training.watching.circuit import Circuit
from gateway_tuning.training.watching.limits import Limits
from gateway_tuning.training.watching.reconciling import Found, Reconciler
from gateway_tuning.training.watching.stopping import stop
from tests.unit.training.watching.conftest import Desk
from tests.unit.training.watching.scripted import Listing, Scripted, ended, running, unavailable


@pytest.fixture
def desk(engine):
    return Desk(engine)


@pytest.fixture
def reconcile(desk, clock):
    def reconcile(provider):
        def by_name(name):
            if name != "far":
                raise ConfigurationError(f"No training provider {name!r}")
            return provider

        line = Line("far", Circuit(), clock.time, longest_outage_s=30)
        return Reconciler(desk.engine, desk.jobs, by_name, lambda _: line, clock.time, lambda *_: None)

    return reconcile


def created(provider, job):
    provider.created[job.key] = f"job-{len(provider.created) + 1}"
    return provider.created[job.key]


def recorded(desk, job, clock, seen=None):
    return desk.jobs.record(job.key, seen or ProviderJob("job-1", JobStatus.RUNNING, 0.1), now=clock.now())


def test_a_job_whose_creation_nobody_wrote_down_is_adopted(desk, reconcile):
    provider, job = Listing([running(0.4)]), desk.intend()
    created(provider, job)

    (found,) = reconcile(provider).all()

    assert (found.found, found.job.provider_job_id, found.job.progress) == (Found.ADOPTED, "job-1", 0.4)
    assert provider.submissions == 0


def test_a_job_that_ended_while_nobody_looked_is_ended(desk, reconcile, clock):
    provider, job = Listing([ended()]), desk.intend()
    created(provider, job)
    recorded(desk, job, clock)

    (found,) = reconcile(provider).all()

    assert (found.found, found.job.status) == (Found.ENDED, JobStatus.SUCCEEDED)
    assert reconcile(provider).all() == []


def test_an_intent_that_no_provider_heard_of_is_left_to_its_next_run_and_created_by_nobody(desk, reconcile):
    provider = Listing([running()])
    desk.intend()

    (found,) = reconcile(provider).all()

    assert (found.found, found.job.status) == (Found.NOT_SUBMITTED, JobStatus.QUEUED)
    assert provider.submissions == 0


def test_where_a_provider_lists_no_jobs_the_next_run_has_to_look(desk, reconcile):
    desk.intend()

    (found,) = reconcile(Scripted([running()])).all()

    assert found.found is Found.NOT_LOOKED_FOR
    assert "run the training again" in found.message


def test_a_job_that_a_living_run_carries_is_left_to_it(desk, reconcile, clock):
    provider, job = Listing([ended()]), desk.intend()
    created(provider, job)
    desk.hold(job, clock.now())

    (found,) = reconcile(provider).all()

    assert found.found is Found.HELD
    assert "held by far|1|" in found.message
    assert found.job.status is JobStatus.QUEUED


def test_a_job_whose_run_is_gone_is_stopped_when_its_time_is_over(desk, reconcile, clock):
    provider, job = Listing([running(0.3)]), desk.intend(Limits(max_training_hours=1))
    created(provider, job)
    recorded(desk, job, clock)
    clock.seconds = 3601

    (found,) = reconcile(provider).all()

    assert (found.found, found.job.status, provider.cancelled) == (
        Found.ENDED,
        JobStatus.CANCELLED,
        ["job-1"],
    )


def test_a_job_that_stands_still_is_marked(desk, reconcile, clock):
    provider, job = Listing([ProviderJob("?", JobStatus.RUNNING, 0.1)]), desk.intend()
    created(provider, job)
    recorded(desk, job, clock)
    clock.seconds = 7201

    reconcile(provider).all()

    assert desk.jobs.get(job.key).stale_since == clock.now()


def test_a_job_that_its_provider_forgot_fails_once_it_is_no_longer_young(desk, reconcile, clock):
    provider, job = Listing([running()]), desk.intend()
    recorded(desk, job, clock)

    young = reconcile(provider).one(job.key)
    assert (young.job.status, young.message) == (
        JobStatus.RUNNING,
        "far does not show it yet; it is looked for again",
    )
    clock.seconds = timedelta(minutes=11).total_seconds()

    assert reconcile(provider).one(job.key).job.status is JobStatus.FAILED
    assert "no longer knows" in desk.jobs.get(job.key).message


def test_the_trouble_of_one_job_is_not_the_others(desk, reconcile, clock):
    provider = Listing([ended()])
    broken, whole = desk.intend(provider="nobody"), desk.intend()
    created(provider, whole)

    found = {one.job.key: one for one in reconcile(provider).all()}

    assert found[broken.key].found is Found.UNKNOWN
    assert "No training provider 'nobody'" in found[broken.key].message
    assert found[whole.key].job.status is JobStatus.SUCCEEDED


def test_an_outage_is_told_and_not_waited_out(desk, reconcile, clock):
    provider, job = Listing([unavailable()]), desk.intend()
    created(provider, job)
    recorded(desk, job, clock)

    assert reconcile(provider).one(job.key).found is Found.UNKNOWN
    assert clock.seconds <= 30


def test_jobs_at_the_provider_without_an_intent_are_named_and_left_alone(desk, reconcile):
    provider = Listing([running()])
    provider.created["f" * 64] = "strange-1"

    (orphan,) = reconcile(provider).orphans(["far"])

    assert (orphan.job_id, orphan.stopped, provider.cancelled) == ("strange-1", False, [])


def test_what_runs_on_for_a_cancelled_intent_is_stopped(desk, reconcile, clock):
    provider, job = Listing([running()]), desk.intend()
    desk.jobs.request_stop(job.key, "cancelled by anna", now=clock.now())
    assert reconcile(provider).one(job.key).job.status is JobStatus.CANCELLED
    created(provider, job)  # its creation was on the way all the time

    (orphan,) = reconcile(provider).orphans(["far"])

    assert (orphan.stopped, provider.cancelled) == (True, ["job-1"])


def test_the_double_of_a_job_is_stopped_and_the_one_that_was_recorded_is_not(desk, reconcile, clock):
    provider, job = Listing([running()]), desk.intend()
    created(provider, job)
    recorded(desk, job, clock)
    provider.known_jobs = lambda: [
        KnownJob(job.key[:32], ProviderJob(id_, JobStatus.RUNNING)) for id_ in ("job-9", "job-1")
    ]

    (orphan,) = reconcile(provider).orphans(["far"])

    assert (orphan.job_id, provider.cancelled) == ("job-9", ["job-9"])


def test_a_person_stops_a_job_and_it_has_ended_when_its_provider_says_so(desk, reconcile, clock):
    provider, job = Listing([running(0.2)]), desk.intend()
    created(provider, job)
    recorded(desk, job, clock)

    found = stop(reconcile(provider), job.key, reason="cancelled by anna")

    assert (found.job.status, found.job.message) == (JobStatus.CANCELLED, "cancelled by anna")
    assert provider.cancelled == ["job-1"]


def test_a_person_stops_a_job_that_a_run_carries_and_the_run_records_its_end(desk, reconcile, clock):
    provider, job = Listing([running(0.2)]), desk.intend()
    created(provider, job)
    recorded(desk, job, clock)
    desk.hold(job, clock.now())

    found = stop(reconcile(provider), job.key, reason="cancelled by anna")

    assert (found.found, provider.cancelled) == (Found.HELD, ["job-1"])
    assert desk.jobs.get(job.key).stop_reason == "cancelled by anna"
