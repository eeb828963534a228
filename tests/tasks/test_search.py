"""Trials through the tasks that train: a pruned one is stopped at its provider, and who answers late is not paid twice."""

import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest

from gateway_tuning.errors import ConfigurationError, ProviderUnavailableError
from gateway_tuning.settings import Settings
from gateway_tuning.training import catalog
from gateway_tuning.training.job import Checkpoint, JobStatus, ProviderJob, TunedModel
from gateway_tuning.training.provider import Capabilities
from gateway_tuning.training.search.settling import Ended
from gateway_tuning.training.search.store import SearchStore
from gateway_tuning.training.watching import asking
from gateway_tuning.training.watching.circuit import circuit_of
from gateway_tuning.training.watching.pace import Time
from tasks import jobs, runtime, search, training
from tests.conftest import NOW
from tests.erasure_world import anonymizer, correction, empty_world  # noqa: F401 - fixtures
from tests.unit.training.search.conftest import make_plan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def prefect():
    """Up before trials ask for it side by side: of two that start Prefect's temporary server one does not wait for it."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        assert client.api_healthcheck() is None


RATES = {"type": "categorical", "name": "rate", "options": [0.1, 0.2, 0.3]}
LOSSES = {None: 1.0, 0.1: 3.0, 0.2: 0.5, 0.3: 4.0}
LOOKS = 40


class Remote:
    """Tells a checkpoint at each look. It moves on only when it is looked at, or all would end before they are judged."""

    capabilities = Capabilities({"supervised": "chat"}, None, 1)

    def __init__(self):
        self.specs, self.looks, self.cancelled, self.files, self.outages = {}, {}, [], [], 0

    def submit(self, key, spec, files):
        if self.outages:
            self.outages -= 1
            error = ProviderUnavailableError("no answer")
            error.retry_after_s = 10_000.0  # longer than anybody waits
            raise error
        assert key not in self.specs
        self.files.append((files.train.name, files.validation.name))
        self.specs[key], self.looks[key] = spec, 0
        return ProviderJob(key, JobStatus.QUEUED)

    def poll(self, job_id):
        time.sleep(0.02)
        if job_id not in self.cancelled:
            self.looks[job_id] += 1
        looks = self.looks[job_id]
        loss = LOSSES[self.specs[job_id].hyperparameters.get("rate")]
        told = tuple(Checkpoint(step, {"validation_loss": loss}) for step in range(1, looks + 1))
        status = JobStatus.SUCCEEDED if looks >= LOOKS else JobStatus.RUNNING
        return ProviderJob(
            job_id, JobStatus.CANCELLED if job_id in self.cancelled else status, checkpoints=told
        )

    def cancel(self, job_id):
        self.cancelled.append(job_id)

    def known_jobs(self):
        return []

    def collect(self, job_id):
        return TunedModel(served_model=job_id)

    def discard(self, job_id): ...


class Threads:
    """Where there is no Prefect: a thread a trial."""

    def __init__(self):
        self.pool, self.futures = ThreadPoolExecutor(4), {}

    def start(self, found, trial):
        self.futures[self.pool.submit(search.run_trial.fn, found.id, trial.number)] = trial.number

    def ended(self, within_s):
        done, _ = wait(self.futures, timeout=0.05, return_when=FIRST_COMPLETED)
        return [
            Ended(self.futures.pop(one), error=one.exception())
            if one.exception()
            else Ended(self.futures.pop(one), one.result())
            for one in done
        ]


@pytest.fixture
def remote(monkeypatch):
    found = Remote()
    monkeypatch.setitem(catalog._BUILT_IN, "remote", lambda _settings: found)
    return found


@pytest.fixture
def world(empty_world, tmp_path, monkeypatch):  # noqa: F811 - the fixture
    empty_world.feedback.add([correction(number, f"u-{number}") for number in range(40)], NOW)
    url = empty_world.engine.url.render_as_string(hide_password=False)
    settings = Settings(home=tmp_path, database_url=url, object_storage_url=f"file://{tmp_path / 'objects'}")
    rt = runtime.Runtime(settings)
    for module in (search, training, jobs):
        monkeypatch.setattr(module, "runtime", lambda: rt)
    # There is no Prefect here to show anything.
    for name in ("create_markdown_artifact", "create_progress_artifact", "update_progress_artifact"):
        monkeypatch.setattr(training, name, lambda *_args, **_options: None)
    for module in (search, jobs):
        monkeypatch.setattr(module, "create_markdown_artifact", lambda *_args, **_options: None)
    for name in ("declare_job", "run_job"):
        monkeypatch.setattr(training, name, getattr(training, name).fn)
    monkeypatch.setattr(search, "_Runs", Threads)
    monkeypatch.setattr(asking, "TIME", Time(asking.TIME.now, time.monotonic, lambda _: None, lambda: 0.5))
    yield empty_world
    rt.engine.dispose()


def plan(**fields):
    halving = {"kind": "successive_halving", "min_steps": 2, "reduction_factor": 2}
    training_plan = {"provider": "remote", "early_stopping_patience": 0}
    return make_plan(RATES, training=training_plan, pruning=halving, **fields)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_worse_trial_is_cancelled_at_its_provider_and_the_best_has_train_and_validation_alone(
    world, remote
):
    search_id = search.open_search.fn(world.make_dataset(), plan())
    search.conduct_search(search_id)
    shown = search.show_search.fn(search_id)

    trials = {
        trial.hyperparameters.get("rate"): trial for trial in SearchStore(world.engine).trials(search_id)
    }
    assert {rate: trial.state.value for rate, trial in trials.items()} == {
        None: "complete",
        0.1: "pruned",
        0.2: "complete",
        0.3: "pruned",
    }
    assert set(remote.cancelled) == {trials[0.1].job_key, trials[0.3].job_key}
    assert all(remote.looks[key] < LOOKS for key in remote.cancelled)
    assert shown.detail["training"]["hyperparameters"] == {"rate": 0.2}
    assert set(remote.files) == {("chat-train.jsonl", "chat-validation.jsonl")}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_outage_ends_the_run_and_the_next_goes_on_with_one_job_a_trial(world, remote):
    search_id = search.open_search.fn(world.make_dataset(), plan(parallel=2))
    remote.outages = 10**9
    with pytest.raises(ProviderUnavailableError):
        search.conduct_search(search_id)
    remote.outages = 0
    circuit_of("remote").answered()  # as after the pause
    ended = search.conduct_search(search_id)

    assert ended.result["training"]["hyperparameters"] == {"rate": 0.2}
    assert len(remote.specs) == len(SearchStore(world.engine).trials(search_id)) == 4


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_space_that_the_provider_does_not_take_begins_no_search(world):
    wrong = make_plan(RATES, training={"provider": "llama", "base_model": "SmolLM2-135M-Instruct"})

    with pytest.raises(ConfigurationError, match="llama has no hyperparameter rate"):
        search.open_search.fn(world.make_dataset(), wrong)
    assert SearchStore(world.engine).all() == []
