"""Whatever a provider says, in whatever order: one job at most, an end with a reason, and all of it in bounded time."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.errors import ConflictError, NotFoundError, ProviderError, ProviderUnavailableError
from gateway_tuning.training.job import JobStatus
from gateway_tuning.training.watching.asking import LONGEST_OUTAGE_S
from gateway_tuning.training.watching.carrying import STOP_PATIENCE, carry
from gateway_tuning.training.watching.limits import Limits
from tests.unit.training.watching.scripted import Clock, Scripted, carrier_of, ended, running, unavailable

LIMITS = Limits(max_training_hours=0.03, max_queue_hours=0.03, stale_hours=0.01)
RUNS = 6  # an orchestrator's first attempt and five more
SLACK = timedelta(minutes=10)

losses = st.lists(st.floats(0, 5) | st.just(float("nan")), max_size=6)
progress = st.none() | st.floats(0, 1)
looks = st.one_of(
    st.builds(
        running, progress, losses, st.sampled_from(["training", "the provider says 'pausing'"]), st.booleans()
    ),
    st.just(ended(JobStatus.QUEUED, "in the queue")),
    st.builds(unavailable, st.none() | st.sampled_from([0, 3, 60, 4000])),
    st.just(NotFoundError("no such job")),
    st.just(ProviderError("403: this key may not look at jobs")),
)
ends = st.sampled_from(
    [ended(), ended(JobStatus.FAILED, "moderation"), ended(JobStatus.CANCELLED, "by the owner")]
)
submissions = st.lists(
    st.tuples(
        st.sampled_from(["before", "after"]),
        st.builds(unavailable, st.none() | st.sampled_from([2, 30])) | st.just(ProviderError("422: not so")),
    ),
    max_size=4,
)


providers = st.builds(
    lambda script, last, on_submit, obeys, is_local: Scripted(
        [*script, last], on_submit=on_submit, obeys=obeys or is_local, is_local=is_local
    ),
    st.lists(looks, max_size=8),
    looks | ends,
    submissions,
    st.booleans(),
    st.booleans(),
)


@pytest.mark.slow
@settings(max_examples=100)
@given(providers)
def test_one_job_at_most_and_an_end_in_bounded_time(desk, tmp_path_factory, provider):
    clock, job = Clock(), desk.intend(LIMITS)
    carrier = carrier_of(provider, desk.jobs, clock, tmp_path_factory.getbasetemp())

    told = None
    for _ in range(RUNS):
        try:
            job, told = carry(carrier, job.key, desk.hold(job, clock.now() + timedelta(days=99))), None
            break
        except ProviderUnavailableError as error:
            told = error
            clock.seconds += 60  # the next attempt
        except ProviderError as error:
            told = error
            break

    assert len(provider.created) <= 1
    bound = timedelta(hours=LIMITS.max_training_hours + LIMITS.max_queue_hours) + STOP_PATIENCE + SLACK
    outages = timedelta(seconds=RUNS * (LONGEST_OUTAGE_S + 60))
    assert timedelta(seconds=clock.seconds) < bound + outages
    if told is None:
        assert job.status.is_terminal
        assert job.message
    else:
        assert str(told)
        assert not isinstance(told, ConflictError)
    assert provider.refusals <= 1


@settings(max_examples=40)
@given(st.lists(st.floats(0, 5), min_size=1, max_size=10), st.integers(1, 3))
def test_patience_ends_a_job_at_the_first_checkpoint_that_spends_it_and_keeps_the_best_so_far(
    desk, tmp_path_factory, values, patience
):
    clock, limits = Clock(), Limits(early_stopping_patience=patience)
    provider = Scripted([*(running(n / 100, values[:n]) for n in range(1, len(values) + 1)), ended()])
    job = desk.intend(limits)

    done = carry(
        carrier_of(provider, desk.jobs, clock, tmp_path_factory.getbasetemp()), job.key, desk.hold(job)
    )

    without_gain, best, spent_at = 0, float("inf"), None
    for position, loss in enumerate(values, 1):
        without_gain, best = (0, loss) if loss < best else (without_gain + 1, best)
        if without_gain == patience:
            spent_at = position
            break
    assert done.status is JobStatus.SUCCEEDED
    if done.kept is None:
        # Never spent, or only at the last look, after which the provider had ended it by itself.
        assert spent_at in {None, len(values)}
    else:
        assert done.kept.metrics["validation_loss"] == min(values[:spent_at])
        assert len(done.checkpoints) <= spent_at + 1
