"""What every training provider must do. A new provider adds one `Case`."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway_tuning.errors import ConflictError, NotFoundError, ProviderError
from gateway_tuning.storage.object_store import file_sha256
from gateway_tuning.training.job import JobStatus, TrainingFiles, TuningSpec
from gateway_tuning.training.provider import Provider
from gateway_tuning.training.providers import llama

DEADLINE_S = 300


@dataclass(frozen=True, slots=True)
class Case:
    """A provider under test. `kill` ends its worker without warning; None where that is out of reach."""

    make: Callable[[Path], Provider]
    spec: TuningSpec
    result_files: frozenset[str]
    kill: Callable[[Path, str], None] | None


def _kill_llama(home: Path, job_id: str) -> None:
    child = llama._workers[home / "jobs" / job_id]
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


CASES = {
    "llama": Case(
        make=lambda home: llama.LlamaProvider(home / "jobs", home / "cache"),
        spec=TuningSpec(
            provider="llama",
            base_model="SmolLM2-135M-Instruct",
            dataset_id="ds-1",
            hyperparameters={
                "rank": 4,
                "batch_size": 2,
                "max_steps": 6,
                "warmup_steps": 1,
                "checkpoint_every": 2,
                "evaluate_every": 3,
                "validation_chats": 2,
            },
        ),
        result_files=frozenset({"adapter_model.safetensors", "adapter_config.json", "adapter.gguf"}),
        kill=_kill_llama,
    )
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=sorted(CASES))
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("provider")


@pytest.fixture(scope="module")
def provider(case, home) -> Provider:
    return case.make(home)


def _export(path: Path, examples: int) -> Path:
    def chat(number):
        return {
            "messages": [
                {"role": "user", "content": f"Where is order {number}?"},
                {"role": "assistant", "content": f"Thank you for asking! Order {number} left today."},
            ]
        }

    path.write_text("\n".join(json.dumps(chat(number)) for number in range(examples)))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> TrainingFiles:
    folder = tmp_path_factory.mktemp("exports")
    return TrainingFiles(_export(folder / "train.jsonl", 12), _export(folder / "validation.jsonl", 3))


def _poll_until(provider, job_id, reached):
    deadline = time.monotonic() + DEADLINE_S
    while not reached(job := provider.poll(job_id)):
        assert time.monotonic() < deadline, job
        time.sleep(0.02)
    return job


def _wait(provider, job_id):
    return _poll_until(provider, job_id, lambda job: job.status.is_terminal)


def _is_under_way(job):
    return job.status.is_terminal or (job.status is JobStatus.RUNNING and (job.progress or 0) >= 0.5)


@pytest.fixture(scope="module")
def finished(provider, case, files):
    """A job that nobody disturbed, submitted twice."""
    first = provider.submit("undisturbed", case.spec, files)
    second = provider.submit("undisturbed", case.spec, files)
    assert first.id == second.id
    return _wait(provider, first.id)


def test_a_job_runs_to_success_and_says_so(finished):
    assert (finished.status, finished.progress) == (JobStatus.SUCCEEDED, 1.0)
    assert finished.metrics["train_loss"] > 0


def test_the_result_is_whole(provider, case, finished):
    result = provider.collect(finished.id)
    assert result.files.keys() == case.result_files
    assert all(path.stat().st_size > 0 for path in result.files.values())
    assert {"train_loss", "validation_loss", "steps", "train_seconds", "tokens"} <= result.metrics.keys()


def test_submitting_a_finished_job_again_finds_it(provider, case, files, finished):
    assert provider.submit("undisturbed", case.spec, files) == finished


def test_cancelling_a_finished_job_changes_nothing(provider, finished):
    provider.cancel(finished.id)
    assert provider.poll(finished.id) == finished


def test_another_spec_under_the_same_key_is_a_conflict(provider, case, files, finished):
    with pytest.raises(ConflictError, match="seed"):
        provider.submit("undisturbed", replace(case.spec, seed=1), files)


def test_other_data_under_the_same_key_is_a_conflict(provider, case, finished, tmp_path):
    with pytest.raises(ConflictError, match="train_sha256"):
        provider.submit("undisturbed", case.spec, TrainingFiles(_export(tmp_path / "other.jsonl", 13)))


def test_a_cancelled_job_ends_as_cancelled_and_has_no_result(provider, case, files):
    job = provider.submit("cancelled", case.spec, files)
    provider.cancel(job.id)
    assert _wait(provider, job.id).status is JobStatus.CANCELLED
    with pytest.raises(ProviderError, match="cancelled"):
        provider.collect(job.id)
    assert provider.submit("cancelled", case.spec, files).status is JobStatus.CANCELLED


def test_a_job_whose_worker_was_killed_resumes_to_the_same_result(provider, case, files, home, finished):
    if case.kill is None:
        pytest.skip("this provider's worker is out of reach")
    job = provider.submit("killed", case.spec, files)
    under_way = _poll_until(provider, job.id, _is_under_way)
    assert under_way.status is JobStatus.RUNNING
    case.kill(home, job.id)
    interrupted = provider.poll(job.id)
    assert interrupted.status is JobStatus.QUEUED
    assert "submit again to resume" in interrupted.message
    assert provider.submit("killed", case.spec, files).id == job.id
    assert _wait(provider, job.id).status is JobStatus.SUCCEEDED
    events = (home / "jobs" / job.id / "progress.jsonl").read_text()
    assert '"resumed"' in events
    ours, theirs = (provider.collect(id_).files["adapter_model.safetensors"] for id_ in (job.id, finished.id))
    assert file_sha256(ours) == file_sha256(theirs)


def _holds(folder, words):
    return [path for path in folder.rglob("*") if path.is_file() and words in path.read_bytes()]


def test_a_discarded_job_keeps_its_model_and_nothing_of_the_data(provider, case, files, home, finished):
    discarded = _wait(provider, provider.submit("discarded", case.spec, files).id)
    assert _holds(home, b"Thank you for asking!")
    before = {name: path.read_bytes() for name, path in provider.collect(discarded.id).files.items()}

    provider.discard(discarded.id)
    provider.discard(discarded.id)

    left = [path for path in _holds(home, b"Thank you for asking!") if "discarded" in str(path)]
    assert left == []
    assert provider.poll(discarded.id).status is JobStatus.SUCCEEDED
    after = {name: path.read_bytes() for name, path in provider.collect(discarded.id).files.items()}
    assert after == before


def test_a_job_at_work_is_discarded_only_once_it_was_cancelled_and_ended(provider, case, files, home):
    job = provider.submit("hasty", case.spec, files)
    _poll_until(provider, job.id, _is_under_way)
    with pytest.raises(ConflictError, match="cancel"):
        provider.discard(job.id)
    provider.cancel(job.id)
    _wait(provider, job.id)

    _discard_when_ended(provider, job.id)

    assert [path for path in _holds(home, b"Thank you for asking!") if "hasty" in str(path)] == []
    assert provider.submit("hasty", case.spec, files).status is JobStatus.CANCELLED


def _discard_when_ended(provider, job_id):
    deadline = time.monotonic() + DEADLINE_S
    while True:  # its end is told before its worker has gone
        try:
            return provider.discard(job_id)
        except ConflictError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_interrupted_submission_is_discarded_whole(provider, case, home, files):
    if case.kill is None:
        pytest.skip("this provider's submissions are out of reach")
    folder = home / "jobs" / "cut-off"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_bytes(files.train.read_bytes())

    provider.discard("cut-off")

    assert not folder.exists()


def test_too_few_examples_are_refused_with_the_number_needed(provider, case, tmp_path):
    needed = provider.capabilities.min_examples
    files = TrainingFiles(_export(tmp_path / "train.jsonl", needed - 1))
    with pytest.raises(ProviderError, match=f"at least {needed}"):
        provider.submit("few", case.spec, files)


def test_an_unknown_hyperparameter_is_refused_by_name(provider, case, files):
    with pytest.raises(ProviderError, match="momentum"):
        provider.submit("odd", replace(case.spec, hyperparameters={"momentum": 1}), files)


def test_what_the_provider_cannot_tune_is_refused(provider, case, files):
    with pytest.raises(ProviderError, match="no-such-model"):
        provider.submit("model", replace(case.spec, base_model="no-such-model"), files)
    with pytest.raises(ProviderError, match="no-such-method"):
        provider.submit("method", replace(case.spec, method="no-such-method"), files)


def test_an_unreadable_file_is_refused_with_its_line(provider, case, tmp_path):
    broken = tmp_path / "train.jsonl"
    broken.write_text("{")
    with pytest.raises(ProviderError, match="line 1"):
        provider.submit("broken", case.spec, TrainingFiles(broken))


def test_an_unknown_job_is_not_found(provider):
    for call in (provider.poll, provider.cancel, provider.collect, provider.discard):
        with pytest.raises(NotFoundError, match="nobody"):
            call("nobody")


def test_a_refused_job_leaves_nothing_behind(provider, case, tmp_path):
    with pytest.raises(ProviderError):
        provider.submit("refused", case.spec, TrainingFiles(_export(tmp_path / "train.jsonl", 1)))
    with pytest.raises(NotFoundError):
        provider.poll("refused")
