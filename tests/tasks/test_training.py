"""What the train stage does with the version that a job is to give, and with the files that it was given."""

from dataclasses import replace

import pytest

from gateway_tuning.errors import ConflictError, ProviderError
from gateway_tuning.registry.code_version import code_version
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.statuses import ModelStatus
from gateway_tuning.settings import Settings
from gateway_tuning.storage import leases
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tenants import claim_model
from gateway_tuning.training import catalog, hosting
from gateway_tuning.training.job import Checkpoint, JobStatus, ProviderJob, TunedModel, TuningSpec
from gateway_tuning.training.provider import Capabilities
from gateway_tuning.training.watching import asking
from gateway_tuning.training.watching.limits import Limits
from tasks import jobs, training
from tasks.runtime import Runtime, now
from tests.unit.datasets.shelf import Shelf, example
from tests.unit.training.watching.scripted import Clock

RUNNING = ProviderJob("r-1", JobStatus.RUNNING, 0.5, "at work")
DONE = ProviderJob("r-1", JobStatus.SUCCEEDED, 1.0, "done")


class Remote:
    """Each look plays the next of `looks`; the last one goes on for ever."""

    capabilities = Capabilities({"supervised": "chat"}, None, 1)

    def __init__(self):
        self.looks, self.submissions, self.cancelled = [RUNNING, RUNNING, DONE], 0, False

    def submit(self, key, spec, files):
        assert files.train.exists()
        self.submissions += 1
        return ProviderJob("r-1", JobStatus.QUEUED)

    def poll(self, job_id):
        seen = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(seen, Exception):
            raise seen
        return replace(seen, status=JobStatus.CANCELLED) if self.cancelled else seen

    def cancel(self, job_id):
        self.cancelled = True

    def collect(self, job_id):
        return TunedModel(served_model="ft:1", metrics={"train_loss": 0.5})

    def known_jobs(self):
        return []

    def discard(self, job_id): ...


@pytest.fixture
def remote(monkeypatch):
    found = Remote()
    monkeypatch.setitem(catalog._BUILT_IN, "remote", lambda _settings: found)
    return found


@pytest.fixture
def rt(tmp_path, engine, monkeypatch, remote):
    found = Runtime(Settings(home=tmp_path, database_url=engine.url.render_as_string(hide_password=False)))
    for module in (training, jobs):
        monkeypatch.setattr(module, "runtime", lambda: found)
        monkeypatch.setattr(module, "create_markdown_artifact", lambda *_args, **_options: None)
    # There is no Prefect here to show anything.
    for name in ("create_progress_artifact", "update_progress_artifact"):
        monkeypatch.setattr(training, name, lambda *_args, **_options: None)
    monkeypatch.setattr(asking, "TIME", Clock().time)
    yield found
    found.engine.dispose()


@pytest.fixture
def key(rt, tmp_path):
    manifest = Shelf(rt.engine, ObjectStore.from_settings(rt.settings), tmp_path).put([example(1)])
    spec = TuningSpec("remote", "base", manifest.dataset_id)
    return rt.jobs.intend(spec, tenant="default", now=now(), limits=Limits(early_stopping_patience=1)).key


def train(key, model="assistant"):
    return training.register_version.fn(training.run_job.fn(key, model), model).id


def statuses(rt, key):
    return [change.status.value for change in rt.registry.status_changes(f"assistant@{key[:12]}")]


def test_a_version_is_there_from_the_first_and_stands_as_its_job_does_until_it_is_available(rt, key):
    version = rt.registry.get(train(key))

    assert statuses(rt, key) == ["created", "training", "available"]
    assert (version.served_model, version.code) == ("ft:1", code_version())


def test_what_its_provider_serves_can_be_asked_as_soon_as_it_is_there(rt, key, monkeypatch):
    monkeypatch.setitem(hosting._HOSTED, "remote", lambda _settings: ("https://remote.example.com/v1", "KEY"))

    version = train(key)

    assert rt.registry.endpoint(version) == Endpoint(
        "https://remote.example.com/v1", "ft:1", api_key_env="KEY"
    )


def test_a_run_that_comes_again_changes_nothing(rt, key, remote):
    first = rt.registry.get(train(key))

    assert rt.registry.get(train(key)) == first
    assert statuses(rt, key) == ["created", "training", "available"]
    assert remote.submissions == 1


def test_a_job_that_fails_leaves_a_failed_version_with_the_reason_once(rt, key, remote):
    remote.looks = [RUNNING, ProviderJob("r-1", JobStatus.FAILED, message="moderation")]
    for _ in range(2):
        with pytest.raises(ProviderError, match="moderation"):
            train(key)

    assert statuses(rt, key) == ["created", "training", "failed"]
    assert rt.registry.status_changes(f"assistant@{key[:12]}")[-1].reason == "moderation"


def test_a_version_of_a_job_that_was_stopped_for_its_best_checkpoint_never_failed(rt, key, remote):
    losses = (
        Checkpoint(1, {"validation_loss": 1.0}, "ft:1:1"),
        Checkpoint(2, {"validation_loss": 2.0}, "ft:1:2"),
    )
    remote.looks = [RUNNING, replace(RUNNING, checkpoints=losses)]

    assert rt.registry.get(train(key)).served_model == "ft:1:1"
    assert statuses(rt, key) == ["created", "training", "available"]


def test_a_trial_of_a_search_gives_no_version_until_a_model_is_made_of_its_job(rt, key, remote):
    training.run_job.fn(key)
    assert rt.registry.versions() == []

    train(key)

    assert statuses(rt, key) == ["created", "available"]
    assert remote.submissions == 1


def test_a_model_of_another_tenant_is_refused_before_a_provider_hears_of_it(rt, key, remote):
    claim_model(rt.engine, "assistant", "other", now=now())

    with pytest.raises(ConflictError, match="assistant"):
        train(key)
    assert remote.submissions == 0


def test_a_version_whose_job_ended_without_its_run_is_failed_by_the_next_reconciling(rt, key, remote):
    remote.looks = [RUNNING, ProviderError("403: not with this key")]
    with pytest.raises(ProviderError, match="403"):
        train(key)
    rt.jobs.record(key, ProviderJob("r-1", JobStatus.CANCELLED, message="by the owner"), now=now())

    for _ in range(2):
        jobs.reconcile.fn()

    assert rt.registry.get(f"assistant@{key[:12]}").status is ModelStatus.FAILED
    assert statuses(rt, key) == ["created", "training", "failed"]
    assert rt.costs.get(key, tenant="default").amount is None


def test_a_run_that_ends_while_it_waits_for_another_leaves_that_one_its_files(rt, key):
    job = rt.jobs.get(key)
    leases.acquire(rt.engine, job.lease_name, owner="far|1|1", now=asking.TIME.now(), seconds=1e6)
    theirs = training._folder(rt, job) / "chat-train.jsonl"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}")

    with pytest.raises(ConflictError, match="is held by"):
        train(key)
    assert theirs.exists()


def test_no_copy_of_the_training_files_stays_behind_a_job(rt, key):
    train(key)

    assert not training._folder(rt, rt.jobs.get(key)).exists()
