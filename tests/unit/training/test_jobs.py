import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.settings import Settings
from gateway_tuning.training import catalog
from gateway_tuning.training.job import JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.jobs import JobStore, job_key

SPEC = TuningSpec("llama", "base", "ds-1", hyperparameters={"rank": 8})


def test_equal_specs_are_one_job_and_different_ones_are_not(engine, now):
    jobs = JobStore(engine)
    first, again = jobs.intend(SPEC, tenant="t", now=now), jobs.intend(SPEC, tenant="t", now=now)
    other = jobs.intend(TuningSpec("llama", "base", "ds-2", hyperparameters={"rank": 8}), tenant="t", now=now)

    assert first == again
    assert first.spec == SPEC
    assert {job.key for job in jobs.all()} == {first.key, other.key}


def test_an_intent_knows_no_provider_job_until_one_is_recorded(engine, now):
    jobs = JobStore(engine)
    key = jobs.intend(SPEC, tenant="t", now=now).key
    assert jobs.get(key).provider_job_id is None

    jobs.record(key, ProviderJob("p1", JobStatus.RUNNING), now=now)

    assert jobs.get(key).provider_job_id == "p1"


def test_an_ended_job_stays_as_it_ended(engine, now):
    jobs = JobStore(engine)
    key = jobs.intend(SPEC, tenant="t", now=now).key
    jobs.record(key, ProviderJob("p1", JobStatus.SUCCEEDED, metrics={"loss": 1.0}), now=now)
    jobs.record(key, ProviderJob("p1", JobStatus.RUNNING), now=now)

    assert jobs.get(key).status is JobStatus.SUCCEEDED
    assert jobs.get(key).metrics == {"loss": 1.0}


def test_the_key_does_not_depend_on_the_order_of_hyperparameters():
    one = TuningSpec("p", "b", "d", hyperparameters={"a": 1, "b": 2})
    two = TuningSpec("p", "b", "d", hyperparameters={"b": 2, "a": 1})

    assert job_key(one) == job_key(two)


def test_an_unknown_provider_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"there are: .*\bllama\b"):
        catalog.provider("nobody", Settings())
