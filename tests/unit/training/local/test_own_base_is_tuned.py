"""Jobs of the local provider on a small base model of the user's own, in real worker processes."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from gateway_tuning.errors import ConflictError, ProviderError
from gateway_tuning.training.job import JobStatus, TrainingFiles, TuningSpec
from gateway_tuning.training.providers import llama
from tests.unit.training.local import tiny

WORDS = "Certainly, here it is"
DEADLINE_S = 240
FIGURES = {"reward_chosen", "reward_rejected", "reward_margin", "reward_accuracy"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.save_own_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return llama.LlamaProvider(home / "jobs", home / "cache")


def _row(method, number):
    prompt = [{"role": "user", "content": f"Where is order {number}?"}]
    good, bad = ([{"role": "assistant", "content": text}] for text in (f"{WORDS}: {number}", "Go away"))
    match method:
        case "dpo":
            return {"prompt": prompt, "chosen": good, "rejected": bad}
        case "kto":
            return {"prompt": prompt, "completion": good if number % 2 else bad, "label": bool(number % 2)}
        case _:
            return {"messages": [*prompt, *good]}


@pytest.fixture
def files_of(tmp_path):
    def write(method, count=12):
        paths = tmp_path / "train.jsonl", tmp_path / "validation.jsonl"
        for path, numbers in zip(paths, (range(count), range(90, 94)), strict=True):
            path.write_text("\n".join(json.dumps(_row(method, number)) for number in numbers))
        return TrainingFiles(*paths)

    return write


def _spec(base, method, **hyperparameters):
    chosen = {
        "rank": 4,
        "batch_size": 4,
        "max_steps": 6,
        "epochs": 50,
        "evaluate_every": 3,
        "checkpoint_every": 1,
    }
    return TuningSpec("llama", str(base), "ds", method=method, hyperparameters=chosen | hyperparameters)


def _ended(provider, job_id):
    deadline = time.monotonic() + DEADLINE_S
    while not (job := provider.poll(job_id)).status.is_terminal:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


@pytest.mark.slow
def test_a_job_leaves_the_adapter_of_its_base_with_the_figures_of_its_method(provider, base, files_of):
    job = _ended(provider, provider.submit("dpo", _spec(base, "dpo"), files_of("dpo")).id)
    assert job.status is JobStatus.SUCCEEDED, job.message
    result = provider.collect(job.id)
    config = json.loads(result.files["adapter_config.json"].read_text())
    assert config["base_model_name_or_path"] == str(base)
    wanted = {f"{split}_{name}" for split in ("train", "validation") for name in FIGURES}
    assert wanted <= result.metrics.keys()


@pytest.mark.slow
def test_a_package_that_only_the_result_needs_is_missed_before_the_training(
    provider, base, files_of, tmp_path, monkeypatch
):
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "gguf.py").write_text("raise ImportError('as if it were not there', name='gguf')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))

    job = _ended(provider, provider.submit("without", _spec(base, "supervised"), files_of("supervised")).id)

    assert job.status is JobStatus.FAILED
    assert "gguf is not installed" in job.message
    assert (job.progress, job.metrics) == (None, {})


@pytest.mark.slow
def test_a_killed_job_goes_on_against_the_same_reference_and_leaves_nothing_of_the_data(
    provider, base, files_of
):
    spec, files = _spec(base, "kto", max_steps=40), files_of("kto")
    job = provider.submit("killed", spec, files)
    folder = provider.jobs_dir.resolve() / job.id
    while not provider.poll(job.id).progress:
        time.sleep(0.01)
    child = llama._workers[folder]
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert provider.poll(job.id).status is JobStatus.QUEUED
    reference = (folder / "reference.json").read_bytes()

    provider.submit(job.id, spec, files)
    assert _ended(provider, job.id).status is JobStatus.SUCCEEDED
    assert (folder / "reference.json").read_bytes() == reference
    assert "resumed" in (folder / "progress.jsonl").read_text()

    wait_for_its_end(provider, job.id)
    left = {path.name for path in folder.iterdir()}
    assert left == {"spec.json", "status.json", "progress.jsonl", "lock", "result"}


def wait_for_its_end(provider, job_id):
    """Its result is there a moment before its process is gone, which nobody discards it from under."""
    for _ in range(100):
        try:
            return provider.discard(job_id)
        except ConflictError:
            time.sleep(0.1)
    return provider.discard(job_id)


@pytest.mark.parametrize(
    ("method", "given"),
    [("supervised", {"beta": 0.1}), ("kto", {"label_smoothing": 0.1}), ("dpo", {"beta": 0})],
)
def test_hyperparameters_that_the_method_does_not_have_are_refused(provider, base, files_of, method, given):
    with pytest.raises(ProviderError, match=f"{next(iter(given))}: .*Known are: rank"):
        provider.submit("refused", _spec(base, method, **given), files_of(method))


def test_a_folder_that_is_no_llama_is_refused_with_what_to_do(provider, files_of, tmp_path):
    with pytest.raises(ProviderError, match=r"has no config\.json; save the model there"):
        provider.submit("refused", _spec(tmp_path, "supervised"), files_of("supervised"))
    with pytest.raises(ProviderError, match=r"or a Llama in a folder of this machine; .*nowhere is neither"):
        provider.submit("refused", _spec(Path("nowhere"), "supervised"), files_of("supervised"))


def test_preferences_with_tools_do_not_count_as_examples(provider, base, files_of):
    files = files_of("dpo", count=9)
    with files.train.open("a") as lines:
        lines.write("\n" + json.dumps(_row("dpo", 9) | {"tools": [{"type": "function"}]}))
    with pytest.raises(ProviderError, match="9 examples without tools"):
        provider.submit("refused", _spec(base, "dpo"), files)


def test_the_file_of_another_method_is_refused_with_the_format_to_export(provider, base, files_of):
    with pytest.raises(ProviderError, match=r"line 1 is not a preference pair.*in the format trl-dpo"):
        provider.submit("refused", _spec(base, "dpo"), files_of("supervised"))
