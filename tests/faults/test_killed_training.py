"""kill -9 before, between and after every effect of the train stage, and a process that sleeps past its lease."""

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import sqlalchemy as sa
from botocore.httpsession import URLLib3Session
from sqlalchemy import event

from gateway_tuning.cycles.plan import TrainingPlan
from gateway_tuning.errors import ConflictError
from gateway_tuning.registry.code_version import code_version
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import (
    aliases,
    cost_entries,
    cost_reservations,
    model_versions,
    tuning_jobs,
)
from gateway_tuning.training import catalog
from gateway_tuning.training.jobs import JobStore
from gateway_tuning.training.watching import asking, holding
from gateway_tuning.training.watching.pace import Time
from tasks import costs, jobs, runtime, training
from tests.conftest import NOW
from tests.erasure_world import correction
from tests.faults.counting_provider import CountingProvider, Service
from tests.wire import worlds
from tests.wire.bedrock_world import BUCKET, bedrock_world
from tests.wire.faults import Faults, failed_reply, lost_reply, status, truncated
from tests.wire.mistral_world import mistral_world
from tests.wire.server import running

pytestmark = pytest.mark.slow

PLAN = TrainingPlan(provider="counting", base_model="far-1")
WORSE_AND_WORSE = [1.0, 0.5, 0.6, 0.7, 0.8]
CONFLICT = 42
STRIDE = 9  # looks are all alike
# What differs between two runs of one thing.
TIMES = {"created_at", "updated_at", "started_at", "moved_at", "stop_requested_at", "settled_at"}


@dataclass
class Stage:
    """The train stage on a real dataset, each attempt a process of its own."""

    home: Path
    database: Path
    dataset_id: str
    plan: TrainingPlan
    settings: dict
    url: str
    service: Any
    faults: Faults
    begun: Path = field(init=False)

    def __post_init__(self):
        code_version()  # once, for all processes: what differs from the commit may change meanwhile
        self.begun = self.home.parent / f"{self.home.name}-begun"
        shutil.copytree(self.home, self.begun)

    @property
    def database_url(self):
        return f"sqlite:///{self.database}"

    def reset(self):
        shutil.rmtree(self.home)
        shutil.copytree(self.begun, self.home)
        self.service.clear()
        self.faults.clear()

    @property
    def creates(self):
        counted = isinstance(self.service, Service | Lists)
        return self.service.creates if counted else self.service.jobs.created

    def kill_points(self, *, until_it_is_there=False):
        """After how many effects, and how many there are: each one but for most of the looks at the job.

        A run that is not disturbed tells where they are. `until_it_is_there`: up to the first look alone.
        """
        assert not self.run()
        looks, imported = json.loads(self.trace.read_text())
        # Here, once, or every process that is started would do it anew, for longer than its work takes.
        for name in imported:
            with suppress(ImportError):
                import_module(name)
        last = looks.index(True) if until_it_is_there else len(looks)
        points = [point for point, is_look in enumerate(looks) if not is_look or point % STRIDE == 0]
        return [point for point in points if point <= last], len(looks)

    @property
    def trace(self):
        return self.home.parent / "trace.json"

    def _is_look(self):
        """Whether the job is known to be at its provider, and not known to have ended."""
        with closing(sqlite3.connect(self.database)) as connection:
            row = connection.execute("SELECT provider_job_id, status FROM tuning_jobs").fetchone()
        return row is not None and row[0] is not None and row[1] in {"queued", "running"}

    def spawn(self, effects=-1, *, stop_itself_at_look=None, lease_seconds=60.0):
        """A process that kills itself when it has done so many effects; its id."""
        child = os.fork()
        if child:
            return child
        try:
            os._exit(self._work(effects, stop_itself_at_look, lease_seconds))
        except BaseException:  # noqa: BLE001 - this process must not go on as a second pytest
            traceback.print_exc()
            os._exit(1)

    def run(self, effects=-1):
        """True when the process was killed."""
        _, ending = os.waitpid(self.spawn(effects), 0)
        assert os.WIFSIGNALED(ending) or os.WEXITSTATUS(ending) == 0
        return os.WIFSIGNALED(ending)

    def _work(self, effects, stop_itself_at_look, lease_seconds):
        looks, known = [], set(sys.modules)

        def effect(*_args):
            if len(looks) == effects:
                os.kill(os.getpid(), signal.SIGKILL)
            looks.append(effects < 0 and self._is_look())

        # What is shown to people is no effect, and there is no Prefect here to show it.
        for name in ("create_markdown_artifact", "create_progress_artifact", "update_progress_artifact"):
            setattr(training, name, lambda *_args, **_options: None)
        jobs.emit_event = lambda *_args, **_options: None
        for module in (jobs, costs):
            module.create_markdown_artifact = lambda *_args, **_options: None
        asking.TIME = Time(asking.TIME.now, time.monotonic, lambda _: None, lambda: 0.5)
        holding.LEASE_SECONDS = lease_seconds
        provider = CountingProvider(self.url, effect, stop_itself_at_look)
        catalog._BUILT_IN["counting"] = lambda _settings: provider
        _around_every_request(effect)
        rt = runtime.Runtime(Settings(home=self.home, database_url=self.database_url, **self.settings))
        # A process is killed here, and no power is cut.
        event.listen(rt.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
        rt.engine.dispose()
        event.listen(rt.engine, "commit", effect)
        training.runtime = jobs.runtime = lambda: rt
        try:
            key = training.declare_job.fn(self.dataset_id, self.plan)
            training.register_version.fn(training.run_job.fn(key, "assistant"), "assistant")
            self.trace.write_text(json.dumps([looks, sorted(sys.modules.keys() - known)]))
        except ConflictError as error:
            (self.home.parent / "conflict").write_text(str(error))
            return CONFLICT
        return 0

    def state(self):
        """All rows of the stage, times aside."""
        engine = open_database(self.database_url)
        with engine.connect() as connection:
            rows = {
                table.name: [
                    {name: value for name, value in row.items() if name not in TIMES}
                    for row in connection.execute(sa.select(table)).mappings()
                ]
                for table in (tuning_jobs, model_versions, aliases, cost_entries, cost_reservations)
            }
        engine.dispose()
        return rows

    def job(self):
        engine = open_database(self.database_url)
        (job,) = JobStore(engine).all()
        engine.dispose()
        return job


def _around_every_request(effect):
    """Of providers that talk by httpx, by the successor of it that OpenAI's SDK brings, or by boto3."""
    for client in (httpx.Client, openai.DefaultHttpxClient.__base__, URLLib3Session):
        send = client.send

        def between_effects(self, request, *, _send=send, **options):
            effect()
            answer = _send(self, request, **options)
            effect()
            return answer

        client.send = between_effects


@pytest.fixture(scope="module")
def served():
    with serving(Service()) as found:
        yield found


@contextmanager
def serving(service):
    faults = Faults()
    with running(faults.around(service.app)) as url:
        yield url, service, faults


@pytest.fixture
def prepared(empty_world, tmp_path):
    """A home with a dataset in it, and the dataset's id."""
    empty_world.feedback.add([correction(number, f"u-{number}") for number in range(40)], NOW)
    dataset_id = empty_world.make_dataset()
    empty_world.engine.dispose()
    home = tmp_path / "home"
    home.mkdir()
    shutil.move(tmp_path / "objects", home / "objects")
    shutil.copyfile(tmp_path / "store.db", home / "store.db")
    return home, dataset_id


@pytest.fixture
def stage(served, prepared):
    url, service, faults = served
    service.losses = []
    service.clear()
    faults.clear()
    home, dataset_id = prepared
    return Stage(home, home / "store.db", dataset_id, PLAN, {}, url, service, faults)


sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@sqlite
def test_killed_at_any_effect_and_run_again_a_job_that_is_stopped_early_is_one_with_the_same_end(stage):
    stage.service.losses = WORSE_AND_WORSE
    points, effects = stage.kill_points()
    undisturbed = stage.state()
    (version,) = undisturbed["model_versions"]
    assert version["served_model"] == "served:job-1:2"
    assert version["status"] == "available"

    for point in points:
        stage.reset()
        assert stage.run(point), f"not killed after {point} of {effects} effects"
        assert not stage.run()
        assert stage.creates == 1, f"killed after {point} of {effects} effects"
        assert stage.state() == undisturbed, f"killed after {point} of {effects} effects"
    assert len(points) >= 20


@dataclass(frozen=True)
class Lists:
    """A service that keeps what it has in lists and dictionaries of its own, and counts what was paid for."""

    fake: Any
    empty: Callable[[], None] = lambda: None

    @property
    def creates(self):
        return self.fake.creates

    def clear(self):
        self.fake.jobs.clear()
        self.fake.creates = 0
        self.fake._numbers = count(1)
        self.empty()


@contextmanager
def _bedrock(_home):
    with bedrock_world() as world:

        def empty():
            listed = world.s3.list_object_versions(Bucket=BUCKET)
            for one in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
                world.s3.delete_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])

        account = world.provider.account
        settings = {
            "bedrock_region": account.region,
            "bedrock_role_arn": account.role_arn,
            "bedrock_data_url": account.data_url,
            "bedrock_endpoint_url": account.endpoint_url,
            "bedrock_s3_endpoint_url": account.s3_endpoint_url,
        }
        yield settings, Lists(world.fake, empty), world.faults


@contextmanager
def _mistral(_home):
    with mistral_world() as world:
        account = world.provider.account
        settings = {"mistral_api_key": account.key, "mistral_base_url": account.base_url}
        yield settings, Lists(world.fake, world.fake.files.clear), world.faults


def _by_http(name):
    @contextmanager
    def opened(home):
        with worlds.opened(name, home) as wire:
            asked = worlds.settings(name, wire.url, home)
            yield {field: getattr(asked, field) for field in asked.model_fields_set}, wire.server, wire.faults

    return opened


OPENED = {name: _by_http(name) for name in worlds.SPECS} | {"bedrock": _bedrock, "mistral": _mistral}
BASE_MODELS = {name: spec.base_model for name, spec in worlds.SPECS.items()} | {
    "bedrock": "amazon.nova-micro-v1:0:128k",
    "mistral": "ministral-8b-latest",
}
WATCHED = (
    "openai",
    "custom",
)  # to the end of the job: from there on all providers are watched by the same code


@sqlite
@pytest.mark.parametrize("name", sorted(OPENED))
def test_killed_at_a_real_provider_and_run_again_it_is_one_job_and_the_same_end(prepared, name, monkeypatch):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "of-the-test")
    home, dataset_id = prepared
    with OPENED[name](home.parent) as (told, service, faults):
        plan = TrainingPlan(provider=name, base_model=BASE_MODELS[name])
        settings = {field: value for field, value in told.items() if field != "home"}
        stage = Stage(home, home / "store.db", dataset_id, plan, settings, "", service, faults)
        points, effects = stage.kill_points(until_it_is_there=name not in WATCHED)
        undisturbed = _but_for_looks(stage)

        for point in points:
            stage.reset()
            assert stage.run(point), f"not killed after {point} of {effects} effects"
            assert not stage.run()
            assert stage.creates == 1, f"killed after {point} of {effects} effects"
            assert _but_for_looks(stage) == undisturbed, f"killed after {point} of {effects} effects"
        assert len(points) > (20 if name in WATCHED else 10)


def _but_for_looks(stage):
    """A server numbers its jobs on; and a checkpoint that was on show for one look may have been missed."""
    rows = stage.state()
    (job,) = rows["tuning_jobs"]
    told = json.dumps({**rows, "tuning_jobs": [{**job, "checkpoints": None}]}, sort_keys=True, default=str)
    return told.replace(job["provider_job_id"], "THE-JOB")


@sqlite
def test_killed_again_and_again_it_comes_to_its_end_with_one_job(stage):
    kills = 4  # the fewest that get anywhere
    while stage.run(kills):
        kills += 1

    assert stage.creates == 1
    assert stage.job().status == "succeeded"
    assert kills > 5


@sqlite
@pytest.mark.parametrize(
    "fault",
    [lost_reply(), failed_reply(502), truncated(says_so=True), status(429, retry_after=1), status(503)],
    ids=["lost reply", "502 after the work", "truncated JSON", "429", "503"],
)
def test_a_create_whose_answer_is_lost_makes_no_second_job(stage, fault):
    stage.faults.on("POST", "/jobs$", fault)

    assert not stage.run()

    assert stage.creates == 1
    assert len(stage.state()["model_versions"]) == 1


@sqlite
def test_two_runs_at_once_are_one_job(stage):
    children = [stage.spawn() for _ in range(2)]

    assert [os.WEXITSTATUS(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert stage.creates == 1
    assert len(stage.state()["cost_entries"]) == 1


@sqlite
def test_a_process_that_slept_past_its_lease_writes_nothing_when_it_wakes_up(stage):
    sleeper = stage.spawn(stop_itself_at_look=1, lease_seconds=1.0)
    _, ending = os.waitpid(sleeper, os.WUNTRACED)
    assert os.WIFSTOPPED(ending)
    assert stage.job().status == "queued"
    time.sleep(1.2)  # its lease

    assert not stage.run()
    after = stage.job()
    os.kill(sleeper, signal.SIGCONT)
    _, ending = os.waitpid(sleeper, 0)

    assert os.WEXITSTATUS(ending) == CONFLICT
    assert "taken over by another process" in (stage.home.parent / "conflict").read_text()
    assert stage.job() == after
    assert after.status == "succeeded"
    assert stage.creates == 1
