import json
import subprocess
import sys
import time

import pytest

from gateway_tuning.training.job import JobStatus, TrainingFiles, TuningSpec
from gateway_tuning.training.local.job_folder import JobFolder
from gateway_tuning.training.local.model.weights import BASE_MODEL
from gateway_tuning.training.providers.llama import LlamaProvider

pytestmark = pytest.mark.slow

TINY = {"rank": 2, "batch_size": 1, "max_steps": 200, "epochs": 50, "checkpoint_every": 50}
DEADLINE_S = 240


@pytest.fixture
def files(tmp_path, desk_chats):
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(chat.model_dump_json() for chat in desk_chats))
    return TrainingFiles(path)


@pytest.fixture
def provider(tmp_path, weights):
    return LlamaProvider(tmp_path / "jobs", weights.parents[1])


def _spec(**hyperparameters):
    return TuningSpec("llama", BASE_MODEL, "ds", hyperparameters={**TINY, **hyperparameters})


def _until(true):
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_ends_with_its_parent_after_a_checkpoint_and_its_job_can_be_resumed(
    provider, files, tmp_path
):
    code = (
        "import sys, time, os; from pathlib import Path\n"
        "from gateway_tuning.training.job import TrainingFiles, TuningSpec\n"
        "from gateway_tuning.training.providers.llama import LlamaProvider\n"
        f"spec = TuningSpec('llama', {BASE_MODEL!r}, 'ds', hyperparameters={TINY!r})\n"
        "provider = LlamaProvider(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "job = provider.submit('orphan', spec, TrainingFiles(Path(sys.argv[3])))\n"
        "while not provider.poll('orphan').progress: time.sleep(0.05)\n"
        "os._exit(1)\n"
    )
    arguments = [str(provider.jobs_dir), str(provider.cache_dir), str(files.train)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=False)
    folder = JobFolder(provider.jobs_dir / "orphan")
    _until(lambda: not folder.is_worked_on())

    job = provider.poll("orphan")
    assert job.status is JobStatus.QUEUED
    step = folder.read_state().step
    assert (folder.checkpoints / f"step-{step:06d}.json").exists()
    events = [json.loads(line)["event"] for line in (folder.path / "progress.jsonl").read_text().splitlines()]
    assert events[0] == "started"
    assert events[-1] == "interrupted"

    provider.cancel("orphan")
    assert provider.poll("orphan").status is JobStatus.CANCELLED


def test_a_second_worker_leaves_the_job_to_the_first(provider, files):
    provider.submit("one", _spec(), files)
    folder = JobFolder(provider.jobs_dir.resolve() / "one")
    _until(lambda: provider.poll("one").progress)
    second = [
        sys.executable,
        "-m",
        "gateway_tuning.training.local.worker",
        str(folder.path),
        str(provider.cache_dir),
    ]
    assert subprocess.run(second, stdin=subprocess.PIPE, check=False).returncode == 0
    assert provider.poll("one").status is JobStatus.RUNNING
    provider.cancel("one")
    _until(lambda: provider.poll("one").status.is_terminal)
    assert (folder.path / "progress.jsonl").read_text().count('"started"') == 1


def test_a_job_that_passes_its_time_limit_fails_and_names_the_limit(provider, files):
    provider.submit("slow", _spec(max_training_seconds=0.001), files)
    _until(lambda: provider.poll("slow").status.is_terminal)
    job = provider.poll("slow")
    assert job.status is JobStatus.FAILED
    assert "max_training_seconds" in job.message


def test_data_that_changed_after_submission_is_not_trained_on(provider, files):
    folder = JobFolder(provider.jobs_dir.resolve() / "changed")
    provider.submit("changed", _spec(), files)
    folder.train.write_text(folder.train.read_text().replace("refund", "reward"))
    _until(lambda: provider.poll("changed").status.is_terminal)
    assert "changed after its submission" in provider.poll("changed").message
