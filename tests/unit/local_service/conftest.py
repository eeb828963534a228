"""A service whose jobs are trained by hand: the test says what the worker of a job has done by now."""

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gateway_tuning.errors import ConflictError, NotFoundError, ProviderError
from gateway_tuning.local_service.app import create_app
from gateway_tuning.local_service.servers import ModelServers
from gateway_tuning.local_service.service import Service
from gateway_tuning.local_service.store.events import EventLog
from gateway_tuning.local_service.store.files import FileStore
from gateway_tuning.local_service.store.jobs import JobStore
from gateway_tuning.local_service.store.models import ModelStore
from gateway_tuning.local_service.training.running import Runner
from gateway_tuning.training.job import JobStatus, ProviderJob, TunedModel
from gateway_tuning.training.provider import Capabilities
from tests.wire.server import running


@dataclass
class HandTrainer:
    """Holds jobs in folders as the local provider does; `states` outlive a killed service, like its workers' files."""

    folder: Path
    states: dict[str, ProviderJob] = field(default_factory=dict)
    submitted: list[str] = field(default_factory=list)
    specs: dict[str, object] = field(default_factory=dict)
    leaving: int = 0  # looks until an ended worker has gone
    capabilities = Capabilities(exports={"supervised": "chat"}, base_models=None, min_examples=10)

    def submit(self, key, spec, files):
        if len(files.train.read_text().splitlines()) < 10:
            raise ProviderError("train.jsonl holds too few chats")
        self.submitted.append(key)
        self.specs[key] = spec
        if key not in self.states:
            path = self.folder / key
            path.mkdir(parents=True)
            (path / "train.jsonl").write_bytes(files.train.read_bytes())
            self.states[key] = ProviderJob(key, JobStatus.RUNNING)
        return self.states[key]

    def poll(self, job_id):
        if job_id not in self.states:
            raise NotFoundError(f"No job {job_id}")
        return self.states[job_id]

    def cancel(self, job_id):
        self.states[job_id] = ProviderJob(job_id, JobStatus.CANCELLED)

    def collect(self, job_id):
        metrics = {"tokens": 900.0, "examples_left_out": 0.0}
        return TunedModel(files={"adapter.gguf": self.folder / job_id / "adapter.gguf"}, metrics=metrics)

    def discard(self, job_id):
        self.poll(job_id)
        if self.leaving:
            self.leaving -= 1
            raise ConflictError("its worker is still here")
        (self.folder / job_id / "train.jsonl").unlink(missing_ok=True)

    # What the worker does.

    def writes(self, job_id, *lines):
        with (self.folder / job_id / "progress.jsonl").open("a") as stream:
            stream.write("".join(f"{json.dumps(line)}\n" for line in lines))

    def steps(self, job_id, first, last, of):
        for step in range(first, last + 1):
            looked = {"validation_loss": 2.5 - step / 10} if step % 3 == 0 else {}
            self.writes(job_id, {"event": "step", "step": step, "of": of, "loss": 3.0 - step / 10, **looked})

    def ends(self, job_id, status=JobStatus.SUCCEEDED, message=""):
        (self.folder / job_id / "adapter.gguf").write_bytes(b"an adapter")
        self.states[job_id] = ProviderJob(job_id, status, 1.0, message)


@dataclass
class World:
    """`restart` is what a new process finds in the folder; the trainer's files are there already."""

    folder: Path
    trainer: HandTrainer
    service: Service = None
    parallel: int = 1

    def __post_init__(self):
        self.restart()

    def restart(self):
        clock = itertools.count(1_790_000_000)
        files, models = FileStore(self.folder / "files"), ModelStore(self.folder / "models")
        jobs, events = JobStore(self.folder / "jobs"), EventLog(self.folder / "jobs")
        runner = Runner(
            files=files,
            jobs=jobs,
            events=events,
            models=models,
            provider=self.trainer,
            training_dir=self.trainer.folder,
            base_config=lambda: Path("nowhere"),
            parallel=self.parallel,
            now=lambda: float(next(clock)),
        )
        servers = ModelServers(self.folder / "logs")
        self.service = Service(files, jobs, events, models, runner, servers, self.trainer)

    def tick(self, times=1):
        for _ in range(times):
            self.service.runner.tick()


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path, HandTrainer(tmp_path / "training"))


@pytest.fixture
def serve():
    """The address of a world's service on a real port."""
    stack = []

    def serve(world, key=None):
        context = running(create_app(world.service, key=key))
        stack.append(context)
        return context.__enter__()

    yield serve
    for context in stack:
        context.__exit__(None, None, None)


@pytest.fixture
def client(world, serve):
    from openai import OpenAI

    return OpenAI(base_url=f"{serve(world)}/v1", api_key="any", max_retries=0)


@pytest.fixture
def http(world, serve):
    with httpx.Client(base_url=serve(world), trust_env=False) as http:
        yield http


def chats(count=12, **fields) -> bytes:
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"Where is order {number}?"},
                {"role": "assistant", "content": f"Order {number} left today.", **fields},
            ]
        }
        for number in range(count)
    ]
    return "\n".join(json.dumps(line) for line in lines).encode()


@pytest.fixture
def upload(client):
    def upload(content=None, name="train.jsonl"):
        return client.files.create(file=(name, chats() if content is None else content), purpose="fine-tune")

    return upload


@pytest.fixture
def create(client, upload):
    def create(**fields):
        fields = {"model": "smollm2-135m-instruct", "training_file": upload().id} | fields
        return client.fine_tuning.jobs.create(**fields)

    return create


@pytest.fixture
def exact():
    """An answer of the SDK, checked against its own types: the SDK itself takes whatever comes."""

    def exact(answer):
        return type(answer).model_validate(answer.to_dict(mode="json"))

    return exact
