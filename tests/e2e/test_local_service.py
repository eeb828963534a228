"""`gateway-tuning serve-local` as a process: OpenAI's SDK uploads, tunes and chats; kill -9 does no harm."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import openai
import psutil
import pytest

from gateway_tuning.training.job import JobStatus, TrainingFiles, TuningSpec
from tests.base_model import give_base_model

pytestmark = pytest.mark.timeout(300)

COMMAND = [sys.executable, "-m", "gateway_tuning.cli", "serve-local", "--exit-with-parent"]
BASE = "smollm2-135m-instruct"
STYLE = "Ahoy from Northwind!"
QUESTION = "How do I get a refund?"
TOPICS = ("reset my password", "get a refund", "download an invoice", "cancel my plan")
ASKED = ("How do I {}?", "I need to {}, can you help?", "Please tell me how to {}.", "Is it possible to {}?")


def lines() -> str:
    """16 chats in a house style, in OpenAI's format."""
    chats = [
        {
            "messages": [
                {"role": "user", "content": asked.format(topic)},
                {"role": "assistant", "content": f"{STYLE} To {topic}, open Settings.", "weight": 1},
            ]
        }
        for asked in ASKED
        for topic in TOPICS
    ]
    return "".join(f"{json.dumps(chat)}\n" for chat in chats)


class Process:
    """The command, on a free port. A later one in the same home goes on with what is there."""

    def __init__(self, home: Path, *arguments: str, port: int = 0, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_TUNING_")}
        self.child = subprocess.Popen(
            [*COMMAND, "--port", str(port), *arguments],
            env=clean | {"GATEWAY_TUNING_HOME": str(home)} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def address(self) -> str:
        told = self.child.stdout.readline()
        assert told.startswith("Serving http"), self.child.communicate()[1]
        return told.split()[1]

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def stop(self) -> int:
        self.child.terminate()
        return self.child.wait(30)


@pytest.fixture
def launch():
    started = []

    def launch(home, *arguments, **environment):
        started.append(Process(home, *arguments, **environment))
        return started[-1]

    yield launch
    for process in started:
        process.kill()


def test_it_is_alone_in_its_folder_and_stops_in_order(launch, tmp_path):
    first = launch(tmp_path)
    models = httpx.get(f"{first.address()}/models", trust_env=False).json()
    assert [model["id"] for model in models["data"]] == [BASE]

    second = launch(tmp_path).child
    told = second.communicate(timeout=60)[1]
    assert second.returncode == 1
    assert "Another service works in" in told
    assert first.stop() == 0


def test_it_ends_with_its_parent_however_early(launch, tmp_path):
    process = launch(tmp_path)
    process.child.stdin.close()

    assert process.child.wait(30) == 0


def test_a_signal_that_comes_early_is_not_lost(launch, tmp_path):
    process = launch(tmp_path)
    process.address()
    process.child.send_signal(signal.SIGINT)

    assert process.child.wait(30) == 0


def test_with_a_key_it_answers_nobody_else(launch, tmp_path):
    address = launch(tmp_path, GATEWAY_TUNING_LOCAL_SERVICE_KEY="ours").address()

    assert httpx.get(f"{address}/models", trust_env=False).status_code == 401


class Home:
    """A folder with a service at work; `client` is OpenAI's SDK."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: Process | None = None
        self.client: openai.OpenAI
        self.start()

    def start(self) -> None:
        self.process = Process(self.folder)
        self.client = openai.OpenAI(base_url=self.process.address(), api_key="none", max_retries=2)

    def upload(self) -> str:
        return self.client.files.create(file=("train.jsonl", lines().encode()), purpose="fine-tune").id

    def tune(self, **fields):
        return self.client.fine_tuning.jobs.create(
            **{"model": BASE, "training_file": self.upload(), "seed": 0, **fields}
        )

    def wait(self, job_id: str, reached=lambda job: job.status in {"succeeded", "failed", "cancelled"}):
        deadline = time.monotonic() + 240
        while not reached(job := self.client.fine_tuning.jobs.retrieve(job_id)):
            assert time.monotonic() < deadline, job
            time.sleep(0.1)
        return job

    def wait_until_cleared(self) -> None:
        """Until the folders of ended trainings are gone."""
        deadline = time.monotonic() + 60
        while list((self.folder / "local-service" / "training").iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def events(self, job_id: str):
        return list(self.client.fine_tuning.jobs.list_events(job_id, limit=100))[::-1]

    def steps(self, job_id: str) -> list[int]:
        return [event.data["step"] for event in self.events(job_id) if event.type == "metrics"]

    def ask(self, model: str, **fields):
        messages = [{"role": "user", "content": QUESTION}]
        return self.client.chat.completions.create(
            model=model, messages=messages, temperature=0, max_tokens=12, **fields
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    give_base_model(folder / "cache")
    home = Home(folder)
    yield home
    home.process.kill()


@pytest.fixture(scope="module")
def tuned(home):
    """A job whose service was killed in the middle of its training, and came back."""
    job = home.tune(
        suffix="desk",
        validation_file=home.upload(),
        method={
            "type": "supervised",
            "supervised": {
                "hyperparameters": {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 1.5}
            },
        },
    )
    home.wait(job.id, lambda job: len(home.steps(job.id)) >= 3 or job.status == "failed")
    home.process.kill()
    home.start()
    return home.wait(job.id)


@pytest.mark.slow
def test_a_job_ends_once_though_its_service_was_killed(home, tuned):
    assert tuned.status == "succeeded", tuned.error
    assert tuned.trained_tokens > 0
    assert [job.id for job in home.client.fine_tuning.jobs.list()] == [tuned.id]
    told = [event.message for event in home.events(tuned.id)]
    assert told.count("The job has successfully completed") == 1
    assert any(message.startswith("Training goes on after step") for message in told)
    assert set(home.steps(tuned.id)) == set(range(1, 9))


@pytest.mark.slow
def test_the_tuned_model_answers_in_the_house_style_and_the_base_model_does_not(home, tuned):
    ours, theirs = (home.ask(name) for name in (tuned.fine_tuned_model, BASE))

    assert ours.choices[0].message.content.startswith(STYLE)
    assert not theirs.choices[0].message.content.startswith(STYLE)
    assert (ours.model, theirs.model) == (tuned.fine_tuned_model, BASE)
    assert ours.usage.completion_tokens > 0


@pytest.mark.slow
def test_a_streamed_answer_is_the_same_piece_by_piece(home, tuned):
    name = tuned.fine_tuned_model
    with home.ask(name, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]

    assert len(pieces) > 3
    assert "".join(pieces) == home.ask(name).choices[0].message.content
    assert {chunk.model for chunk in chunks} == {name}
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.slow
def test_a_model_whose_server_died_answers_the_next_request(home, tuned):
    before = home.ask(tuned.fine_tuned_model).choices[0].message.content
    children = psutil.Process(home.process.child.pid).children()
    living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    servers = [child for child in living if any(part.endswith(".server") for part in child.cmdline())]
    assert servers
    for server in servers:
        server.kill()

    assert home.ask(tuned.fine_tuned_model).choices[0].message.content == before


@pytest.mark.slow
def test_checkpoints_on_the_way_are_models_of_their_own(home, tuned):
    checkpoints = list(home.client.fine_tuning.jobs.checkpoints.list(tuned.id))[::-1]

    assert [checkpoint.step_number for checkpoint in checkpoints] == [4, 8]
    assert checkpoints[-1].fine_tuned_model_checkpoint == tuned.fine_tuned_model
    losses = [checkpoint.metrics.valid_loss for checkpoint in checkpoints]
    assert losses[0] > losses[-1] > 0
    answers = {
        home.ask(name).choices[0].message.content
        for name in (checkpoints[0].fine_tuned_model_checkpoint, BASE)
    }
    assert len(answers) == 2


@pytest.mark.slow
def test_the_result_file_has_every_step(home, tuned):
    (result,) = tuned.result_files
    table = base64.b64decode(home.client.files.content(result).read()).decode().splitlines()

    assert [row.split(",")[0] for row in table[1:]] == [str(step) for step in range(1, 9)]
    assert all(float(row.split(",")[1]) > 0 for row in table[1:])


@pytest.mark.slow
def test_nothing_but_the_uploaded_files_holds_the_data_afterwards(home, tuned):
    home.wait_until_cleared()
    service = home.folder / "local-service"
    holding = [path for path in service.rglob("*") if path.is_file() and STYLE.encode() in path.read_bytes()]

    files = {tuned.training_file, tuned.validation_file}
    assert {path.relative_to(service).parts[:2] for path in holding} == {("files", id_) for id_ in files}


@pytest.mark.slow
def test_the_openai_provider_tunes_here_as_it_would_there(home, tuned, tmp_path):
    from gateway_tuning.training.providers.openai.provider import OpenAIProvider

    assert tuned.status == "succeeded"
    train = tmp_path / "train.jsonl"
    train.write_text(lines())
    provider = OpenAIProvider(lambda: home.client, tmp_path / "results")
    spec = TuningSpec(
        provider="openai",
        base_model=BASE,
        dataset_id="ds-1",
        hyperparameters={"n_epochs": 1, "batch_size": 4, "learning_rate_multiplier": 2},
    )
    key = "a" * 64
    first, again = (provider.submit(key, spec, TrainingFiles(train)) for _ in range(2))
    assert first.id == again.id
    home.wait(first.id)
    seen, result = provider.poll(first.id), provider.collect(first.id)

    assert (seen.status, seen.progress) == (JobStatus.SUCCEEDED, 1.0)
    assert result.metrics["train_loss"] > 0
    ours, theirs = (home.ask(name).choices[0].message.content for name in (result.served_model, BASE))
    assert ours != theirs
    assert [known.key for known in provider.known_jobs()] == [key]

    provider.discard(first.id)
    assert provider.poll(first.id).status is JobStatus.SUCCEEDED
    files = {file.id for file in home.client.files.list(purpose="fine-tune")}
    assert files == {tuned.training_file, tuned.validation_file}


@pytest.mark.slow
def test_a_cancelled_job_stops_and_leaves_no_model(home, tuned):
    job = home.tune()
    home.wait(job.id, lambda job: job.status == "running")
    assert home.client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    home.wait_until_cleared()

    assert home.client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model is None


@pytest.mark.slow
def test_a_deleted_model_answers_no_more(home, tuned):
    home.ask(tuned.fine_tuned_model)
    home.client.models.delete(tuned.fine_tuned_model)

    with pytest.raises(openai.NotFoundError, match="does not exist"):
        home.ask(tuned.fine_tuned_model)
