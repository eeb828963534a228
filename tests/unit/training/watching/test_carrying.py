from datetime import timedelta

import pytest

from gateway_tuning.errors import ConflictError, ErasedError, ProviderError, ProviderUnavailableError
from gateway_tuning.storage import leases
from gateway_tuning.training.job import Checkpoint, JobStatus
from gateway_tuning.training.watching.carrying import LOOKS_IN_VAIN, STOP_PATIENCE, carry, longest
from gateway_tuning.training.watching.limits import Limits
from tests.unit.training.watching.scripted import Scripted, carrier_of, ended, running, unavailable


@pytest.fixture
def run(desk, clock, tmp_path):
    """Carry one new job at this provider to its end; what was told lies in `run.told`."""

    def run(provider, limits=None, job=None):
        run.told = []
        run.job = job or desk.intend(limits)
        lease = desk.hold(run.job)
        return carry(carrier_of(provider, desk.jobs, clock, tmp_path, run.told), run.job.key, lease)

    return run


def test_a_job_is_created_watched_and_recorded_as_it_ended(run):
    provider = Scripted([running(0.5), ended()])

    job = run(provider)

    assert (job.status, job.provider_job_id, job.metrics) == (
        JobStatus.SUCCEEDED,
        "job-1",
        {"train_loss": 1.0},
    )
    assert [seen.progress for _, seen, _ in run.told] == [0.5, 1.0]


def test_looks_come_fast_while_something_moves_and_ever_more_rarely_while_nothing_does(run, clock):
    run(Scripted([*(running(n / 10) for n in range(5)), *[running(0.5)] * 8, ended()]))

    moving, still = clock.waits[:4], clock.waits[-6:]
    assert max(moving) < 3
    assert still == sorted(still)
    assert still[-1] > 20


def test_a_reply_that_was_lost_after_the_job_was_created_makes_no_second_one(run):
    provider = Scripted([ended()], on_submit=[("after", unavailable()), ("before", unavailable())])

    assert run(provider).status is JobStatus.SUCCEEDED
    assert (len(provider.created), provider.submissions) == (1, 3)


def test_a_refused_job_has_failed_with_the_refusal_and_may_be_declared_again(run, desk):
    refused = run(Scripted([ended()], on_submit=[("before", ProviderError("too few examples: add 3"))]))

    assert (refused.status, refused.message) == (JobStatus.FAILED, "too few examples: add 3")
    again = desk.jobs.intend(refused.spec, tenant="default", now=refused.created_at)
    assert (again.status, again.message) == (JobStatus.QUEUED, "")
    assert run(Scripted([ended()]), job=again).status is JobStatus.SUCCEEDED


def test_a_job_that_ended_at_its_provider_stays_ended_however_often_it_is_declared(run, desk):
    failed = run(Scripted([ended(JobStatus.FAILED, "moderation")]))

    other = Limits(max_training_hours=99)
    again = desk.jobs.intend(failed.spec, tenant="default", now=failed.created_at, limits=other)
    assert (again.status, again.limits) == (JobStatus.FAILED, failed.limits)


def test_a_job_whose_id_is_known_is_looked_at_and_not_submitted_again(run, desk, clock):
    provider = Scripted([running(0.1), unavailable()])
    with pytest.raises(ProviderUnavailableError):
        run(provider)
    provider.script = [ended()]

    assert run(provider, job=run.job).status is JobStatus.SUCCEEDED
    assert provider.submissions == 1


def test_a_job_that_its_provider_no_longer_knows_fails_after_several_looks(run):
    provider = Scripted([running(0.1)])
    provider.on_poll = lambda: provider.created.clear() if provider.polls == 2 else None

    job = run(provider)

    assert job.status is JobStatus.FAILED
    assert "no longer knows the job" in job.message
    assert provider.polls == 1 + LOOKS_IN_VAIN
    assert provider.submissions == 1


def test_a_job_that_trains_for_too_long_is_cancelled_at_its_provider(run, clock):
    provider = Scripted([running(0.1)])

    job = run(provider, Limits(max_training_hours=1))

    assert (job.status, provider.cancelled) == (JobStatus.CANCELLED, ["job-1"])
    assert "max_training_hours=1" in job.message
    assert 3600 <= clock.seconds < 3600 + 180


def test_early_stopping_cancels_the_job_and_the_best_checkpoint_is_its_result(run):
    losses = [1.0, 0.5, 0.6, 0.7, 0.8]
    provider = Scripted([running(0.1 * n, losses[:n]) for n in range(1, 6)])

    job = run(provider)

    assert provider.cancelled == ["job-1"]
    assert job.status is JobStatus.SUCCEEDED
    assert job.kept == Checkpoint(2, {"validation_loss": 0.5}, "served:2")
    assert job.metrics["validation_loss"] == 0.5
    assert "the checkpoint of step 2 is kept" in job.message


def test_a_job_that_succeeds_while_it_is_stopped_early_keeps_its_own_result(run):
    provider = Scripted([running(0.9, [1.0, 2.0, 2.0, 2.0]), ended()])

    job = run(provider)

    assert (job.status, job.kept, job.message) == (JobStatus.SUCCEEDED, None, "done")


def test_a_persons_word_reaches_the_provider_and_keeps_nothing(run, desk, clock):
    provider = Scripted([running(0.1)])
    provider.on_poll = (
        lambda: desk.jobs.request_stop(run.job.key, "cancelled by anna", now=clock.now()) if provider.polls == 3 else None
    )  # fmt: skip

    job = run(provider)

    assert (job.status, job.message, job.kept) == (JobStatus.CANCELLED, "cancelled by anna", None)
    assert provider.cancelled == ["job-1"]


def test_a_job_that_was_cancelled_before_it_was_submitted_is_stopped_wherever_it_is(run, desk, clock):
    job = desk.intend()
    desk.jobs.request_stop(job.key, "cancelled by anna", now=clock.now())
    provider = Scripted([running(0.1)])

    assert run(provider, job=job).status is JobStatus.CANCELLED
    assert provider.cancelled == ["job-1"]


def test_a_provider_that_does_not_stop_a_job_is_told_of_in_bounded_time(run, clock, desk):
    provider = Scripted([running(0.1)], obeys=False)

    with pytest.raises(ProviderError, match="still says running; stop it there by hand"):
        run(provider, Limits(max_training_hours=1))
    assert clock.seconds < 3600 + STOP_PATIENCE.total_seconds() + 180
    assert 1 < len(provider.cancelled) < 10
    assert desk.jobs.get(run.job.key).status is JobStatus.RUNNING


def test_a_job_that_stands_still_is_told_of_once_until_it_moves(run):
    hours = 3
    provider = Scripted([running(0.1, message="a")])
    provider.on_poll = lambda: setattr(provider, "script", [ended()]) if run.told and (
        run.told[-1][0].updated_at - run.job.created_at > timedelta(hours=hours)) else None  # fmt: skip

    job = run(provider, Limits(stale_hours=1))

    assert [verdict.stale_for is not None for _, _, verdict in run.told].count(True) == 1
    assert job.stale_since is None


def test_a_status_that_nobody_knows_is_waited_for(run):
    provider = Scripted([running(message="the provider says 'paused_for_review'"), ended()])

    assert run(provider).status is JobStatus.SUCCEEDED


def test_a_worker_of_this_machine_that_died_is_started_again_and_not_for_ever(run):
    dying = [running(0.1), ended(JobStatus.QUEUED, "interrupted")]
    provider = Scripted([*dying * 20, ended()], is_local=True)

    job = run(provider)

    assert job.status is JobStatus.CANCELLED
    assert "its worker ended 6 times" in job.message
    assert provider.submissions == 6


def test_a_job_of_another_machine_that_is_unknown_here_begins_anew(run, desk, clock):
    provider = Scripted([unavailable()], is_local=True)
    with pytest.raises(ProviderUnavailableError):
        run(provider)
    elsewhere = Scripted([ended()], is_local=True)

    assert run(elsewhere, job=run.job).status is JobStatus.SUCCEEDED
    assert elsewhere.submissions == 1


def test_who_lost_the_lease_writes_nothing_more(run, desk, clock):
    provider = Scripted([running(0.1), running(0.2), ended()])
    provider.on_poll = lambda: (
        desk.hold(run.job, clock.now() + timedelta(hours=1)) if provider.polls == 2 else None
    )

    with pytest.raises(ConflictError, match="taken over"):
        run(provider)
    assert desk.jobs.get(run.job.key).progress == 0.1


def test_files_of_a_person_who_was_erased_meanwhile_do_not_stay_at_the_provider(desk, clock, tmp_path):
    provider, job = Scripted([running(0.1)]), desk.intend()
    discarded = []
    provider.discard = discarded.append

    def erased():
        raise ErasedError("gone")

    carrier = carrier_of(provider, desk.jobs, clock, tmp_path)
    object.__setattr__(carrier, "require_live", erased)
    with pytest.raises(ErasedError):
        carry(carrier, job.key, desk.hold(job))
    assert (provider.cancelled, discarded) == (["job-1"], ["job-1"])


def test_the_lease_is_free_for_the_next_once_it_was_released(desk, clock):
    job = desk.intend()
    leases.release(desk.engine, desk.hold(job), now=clock.now())

    assert desk.hold(job, clock.now()).fence == 2
    assert longest(job) == timedelta(hours=31)
