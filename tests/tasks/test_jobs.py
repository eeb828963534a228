"""What the flows do about tuning jobs: reconcile them on a schedule, and stop those of a cancelled run."""

from types import SimpleNamespace

import pytest

from gateway_tuning.errors import NotFoundError
from gateway_tuning.settings import Settings
from gateway_tuning.training import catalog
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.job import JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.provider import Capabilities
from gateway_tuning.training.watching.holding import hold
from gateway_tuning.training.watching.limits import Verdict
from tasks import jobs as tasks
from tasks.runs import NOTED
from tasks.runtime import Runtime, now


class Remote:
    """Its jobs are what the test puts there."""

    capabilities = Capabilities({"supervised": "chat"}, None, 1)

    def __init__(self):
        self.jobs = {}

    def poll(self, job_id):
        if job_id not in self.jobs:
            raise NotFoundError(job_id)
        return self.jobs[job_id]

    def cancel(self, job_id):
        self.jobs[job_id] = ProviderJob(job_id, JobStatus.CANCELLED, message="stopped")

    def known_jobs(self):
        return []

    def submit(self, key, spec, files): ...
    def collect(self, job_id): ...
    def discard(self, job_id): ...


@pytest.fixture
def shown():
    return []


@pytest.fixture
def rt(tmp_path, engine, monkeypatch, shown):
    found = Runtime(Settings(home=tmp_path, database_url=engine.url.render_as_string(hide_password=False)))
    monkeypatch.setattr(tasks, "runtime", lambda: found)
    # There is no Prefect here to show anything.
    monkeypatch.setattr(tasks, "create_markdown_artifact", lambda text, **_: shown.append(text))
    monkeypatch.setattr(tasks, "emit_event", lambda **event: shown.append(event["event"]))
    yield found
    found.engine.dispose()


@pytest.fixture
def remote(monkeypatch):
    found = Remote()
    monkeypatch.setitem(catalog._BUILT_IN, "remote", lambda _settings: found)
    return found


def begun(rt, remote, seed=0, run_id=None):
    """A job at work that the run waits for."""
    job = rt.jobs.intend(TuningSpec("remote", "b", "ds-1", seed=seed), tenant="default", now=now())
    remote.jobs[f"r-{seed}"] = ProviderJob(f"r-{seed}", JobStatus.RUNNING)
    rt.jobs.record(job.key, remote.jobs[f"r-{seed}"], now=now())
    if run_id is not None:
        with hold(rt.engine, job, clock=now) as lease:
            rt.jobs.belongs_to(job.key, run_id, lease=lease)
    return job.key


def test_a_cancelled_run_cancels_its_jobs_at_their_provider_and_no_others(rt, remote):
    mine, other = begun(rt, remote, 1, "run-1"), begun(rt, remote, 2, "run-2")

    tasks.stop_jobs_of(None, SimpleNamespace(id="run-1", name="brave owl"), None)

    stopped = rt.jobs.get(mine)
    assert (stopped.status, stopped.message) == (JobStatus.CANCELLED, "its run brave owl was cancelled")
    assert rt.jobs.get(other).status is JobStatus.RUNNING
    assert remote.jobs["r-2"].status is JobStatus.RUNNING


def test_every_flow_that_trains_passes_its_cancellation_on():
    from flows.train_model import train_model
    from flows.tuning_cycle import tuning_cycle

    assert tasks.stop_jobs_of in NOTED["on_cancellation"]
    assert all(tasks.stop_jobs_of in flow.on_cancellation_hooks for flow in (train_model, tuning_cycle))


def test_reconciling_ends_a_job_whose_run_is_gone_and_counts_its_cost_once(rt, remote, shown):
    key = begun(rt, remote)
    remote.jobs["r-0"] = ProviderJob("r-0", JobStatus.SUCCEEDED, 1.0, "done", {"tokens": 81.0})

    found, again = tasks.reconcile.fn(), tasks.reconcile.fn()

    assert (found, again) == ({key: "ended"}, {})
    assert rt.jobs.get(key).status is JobStatus.SUCCEEDED
    (cost,) = CostStore(rt.engine).page("default", limit=9)
    assert (cost.object_id, cost.usage) == (key, {"tokens": 81.0})
    assert f"| {key[:12]} | remote | succeeded | ended | done |" in shown[0]


def test_a_job_that_stands_still_is_an_event_and_a_page_with_the_command_that_ends_it(rt, remote, shown):
    from datetime import timedelta

    job = rt.jobs.get(begun(rt, remote))

    tasks.told_of(job, remote.jobs["r-0"], Verdict(stale_for=timedelta(hours=3)))

    assert "tuning-job.stale" in shown
    assert f"gateway-tuning jobs cancel {job.key[:12]}" in shown[0]
    assert "nothing new for 3.0 hours" in shown[0]


def test_a_provider_that_cannot_be_searched_for_orphans_hides_no_others(rt, remote):
    begun(rt, remote)
    rt.jobs.intend(TuningSpec("gone", "b", "ds-1"), tenant="default", now=now())

    assert tasks.find_orphans.fn() == []
