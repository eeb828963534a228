"""What is OpenAI's alone: methods, metadata, checkpoints, servers that only resemble it, and its SDK's retries."""

import itertools
import json
from dataclasses import replace

import pytest

from gateway_tuning.errors import ConflictError, ProviderError, ProviderUnavailableError
from gateway_tuning.training.job import JobStatus, TrainingFiles
from gateway_tuning.training.providers.openai import provider as openai
from gateway_tuning.training.providers.openai import wire as openai_wire
from tests.contracts.provider_cases import export
from tests.wire import worlds
from tests.wire.faults import failed_reply, lost_reply, status, truncated

KEY = "0123456789abcdef" * 4
SPEC = worlds.SPECS["openai"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with worlds.opened("openai", tmp_path_factory.mktemp("openai")) as wire:
        yield wire


@pytest.fixture
def wire(opened):
    opened.clear()
    return opened


@pytest.fixture
def files(tmp_path):
    return TrainingFiles(export(tmp_path / "train.jsonl", 12), export(tmp_path / "validation.jsonl", 3))


def _asked(wire):
    (job,) = wire.jobs.newest_first()
    return job.asked


def _end(provider, job_id):
    looks = (provider.poll(job_id) for _ in itertools.count())
    return next(seen for seen in looks if seen.status.is_terminal)


def test_a_job_is_asked_for_with_its_method_seed_name_and_what_identifies_it(wire, files):
    wire.provider.submit(KEY, replace(SPEC, seed=7), files)

    asked = _asked(wire)
    assert asked["method"] == {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}
    assert asked["seed"] == 7
    assert asked["suffix"] == "gt-0123456789ab"
    assert asked["metadata"]["gateway_tuning_key"] == KEY
    assert asked["metadata"]["dataset_id"] == "ds-1"
    assert len(asked["metadata"]) <= 16
    assert all(len(value) <= 512 for value in asked["metadata"].values())
    assert {asked["training_file"], asked["validation_file"]} == wire.server.files.keys()


def test_hyperparameters_too_long_for_metadata_still_tell_jobs_apart(wire, tmp_path):
    reinforcement = _reinforcement(tmp_path)
    long = {"grader": {"type": "python", "name": "g", "source": "def grade(): ...\n" * 100}}
    spec = replace(SPEC, method="reinforcement", hyperparameters=long)

    wire.provider.submit(KEY, spec, reinforcement)

    assert len(_asked(wire)["metadata"]["hyperparameters"]) <= 512
    other = {"grader": {**long["grader"], "source": "def grade(): ...\n" * 101}}
    with pytest.raises(ConflictError, match="hyperparameters"):
        wire.provider.submit(KEY, replace(spec, hyperparameters=other), reinforcement)


def test_preferences_are_trained_by_dpo(wire, tmp_path):
    line = {
        "input": {"messages": [{"role": "user", "content": "Where is it?"}]},
        "preferred_output": [{"role": "assistant", "content": "On its way."}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join([json.dumps(line)] * 10))

    wire.provider.submit(KEY, replace(SPEC, method="dpo", hyperparameters={"beta": 0.2}), TrainingFiles(path))

    assert _asked(wire)["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}}
    assert "validation_file" not in _asked(wire)


def _reinforcement(folder):
    line = {"messages": [{"role": "user", "content": "Two and two?"}], "reference_answer": "four"}
    paths = [folder / "train.jsonl", folder / "validation.jsonl"]
    for path in paths:
        path.write_text("\n".join([json.dumps(line)] * 10))
    return TrainingFiles(*paths)


def test_reinforcement_is_graded_by_the_reference_answer_unless_a_grader_is_given(wire, tmp_path):
    spec = replace(SPEC, method="reinforcement", hyperparameters={"reasoning_effort": "low"})
    wire.provider.submit(KEY, spec, _reinforcement(tmp_path))

    method = _asked(wire)["method"]["reinforcement"]
    assert method["grader"]["reference"] == "{{item.reference_answer}}"
    assert method["hyperparameters"] == {"reasoning_effort": "low"}
    own = {"type": "string_check", "name": "g", "operation": "eq", "input": "a", "reference": "b"}
    assert openai_wire.method("reinforcement", {"grader": own})["reinforcement"]["grader"] == own


def test_reinforcement_without_validation_is_refused_before_anything_is_sent(wire, tmp_path):
    train_only = replace(_reinforcement(tmp_path), validation=None)
    with pytest.raises(ProviderError, match="validation"):
        wire.provider.submit(KEY, replace(SPEC, method="reinforcement", hyperparameters={}), train_only)
    assert wire.faults.requests == []


@pytest.mark.parametrize("value", [0, -1, "automatic", 1.5])
def test_a_hyperparameter_that_openai_would_refuse_is_refused_here(wire, files, value):
    with pytest.raises(ProviderError, match="n_epochs"):
        wire.provider.submit(KEY, replace(SPEC, hyperparameters={"n_epochs": value}), files)
    assert wire.faults.requests == []


def test_checkpoints_come_in_the_order_of_their_steps_and_can_be_asked(wire, files):
    job = wire.provider.submit(KEY, SPEC, files)

    checkpoints = _end(wire.provider, job.id).checkpoints

    assert [checkpoint.step for checkpoint in checkpoints] == [2, 4]
    assert checkpoints[-1].metrics == {"train_loss": 0.5, "validation_loss": 1.0}
    assert all(checkpoint.served_model.startswith("ft:") for checkpoint in checkpoints)


def test_progress_is_what_the_events_tell_and_the_message_is_their_last_word(wire, files):
    job = wire.provider.submit(KEY, SPEC, files)

    seen = [wire.provider.poll(job.id) for _ in range(7)]

    assert [one.progress for one in seen] == [None, None, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert seen[-1].message == "The job has successfully completed"
    assert seen[-1].metrics["tokens"] == 5_768


def test_a_server_without_events_and_checkpoints_serves_all_the_same(wire, files):
    wire.server.knows_events = False
    job = wire.provider.submit(KEY, SPEC, files)

    ended = _end(wire.provider, job.id)

    assert (ended.status, ended.progress, ended.checkpoints) == (JobStatus.SUCCEEDED, 1.0, ())


def test_a_server_that_ignores_the_filter_does_not_pass_off_another_job(wire, files):
    wire.server.ignores_filter = True
    first = wire.provider.submit(KEY, SPEC, files)

    second = wire.provider.submit("f" * 64, SPEC, files)

    assert second.id != first.id
    assert wire.provider.submit(KEY, SPEC, files).id == first.id


def test_a_job_is_found_behind_more_than_a_page_of_others(wire, files):
    wire.server.ignores_filter = True
    mine = wire.provider.submit(KEY, SPEC, files)
    for number in range(250):
        wire.jobs.add(
            None, {"model": SPEC.base_model, "training_file": "file-0", "metadata": {"n": str(number)}}
        )

    assert wire.provider.submit(KEY, SPEC, files).id == mine.id
    assert wire.jobs.created == 251


def test_of_two_jobs_with_one_key_the_older_is_the_job(wire, files):
    first = wire.provider.submit(KEY, SPEC, files)
    wire.jobs.add(None, wire.jobs.get(first.id).asked)

    assert wire.provider.submit(KEY, SPEC, files).id == first.id


def test_a_file_that_is_there_is_not_sent_again(wire, files):
    wire.faults.on(*wire.creates, status(503))
    with pytest.raises(ProviderUnavailableError):
        wire.provider.submit(KEY, SPEC, files)

    wire.provider.submit(KEY, SPEC, files)

    assert wire.faults.count("POST", "/files$") == 2  # train and validation
    assert len(wire.server.files) == 2


def test_half_a_file_is_not_taken_for_the_whole(wire, files):
    wire.faults.on(*wire.creates, status(503))
    with pytest.raises(ProviderUnavailableError):
        wire.provider.submit(KEY, SPEC, files)
    id_, (name, content) = next(iter(wire.server.files.items()))
    wire.server.files[id_] = (name, content[:-5])

    wire.provider.submit(KEY, SPEC, files)

    sent = wire.server.files[_asked(wire)["training_file"]][1]
    assert sent == files.train.read_bytes()


@pytest.mark.parametrize("as_base64", [False, True])
def test_the_result_has_the_name_the_metrics_and_the_table(wire, files, as_base64):
    wire.server.as_base64 = as_base64
    job = wire.provider.submit(KEY, SPEC, files)
    _end(wire.provider, job.id)

    model = wire.provider.collect(job.id)

    assert model.served_model == f"ft:{SPEC.base_model}:acme::{job.id}"
    expected = {
        "train_loss": 0.5,
        "validation_loss": 1.0,
        "steps": 4,
        "tokens": 5_768,
        "train_token_accuracy": 0.5,
    }
    assert model.metrics == expected
    assert model.files["metrics.csv"].read_text().startswith("step,train_loss")


def test_cancelling_a_job_that_ends_in_between_is_no_error(wire, files):
    job = wire.provider.submit(KEY, SPEC, files)
    on_the_server = wire.jobs.get(job.id)

    async def end_first(app, scope, receive, send):
        on_the_server.ended = "succeeded"
        await app(scope, receive, send)

    wire.faults.on("POST", "/cancel$", end_first)
    wire.provider.cancel(job.id)

    assert wire.provider.poll(job.id).status is JobStatus.SUCCEEDED


def _with_retries(wire, tmp_path):
    return openai.build(worlds.settings("openai", wire.url, tmp_path), retries=2)


def test_the_sdk_asks_again_after_the_wait_that_it_is_told(wire, files, tmp_path):
    provider = _with_retries(wire, tmp_path)
    job = provider.submit(KEY, SPEC, files)
    wire.faults.clear()
    wire.faults.on("GET", f"/{job.id}$", status(429, retry_after=0.01), times=2)

    assert provider.poll(job.id).status is JobStatus.QUEUED
    assert wire.faults.count("GET", f"/{job.id}$") == 3


def test_the_sdk_gives_up_and_says_when_to_come_back(wire, files, tmp_path):
    provider = _with_retries(wire, tmp_path)
    job = provider.submit(KEY, SPEC, files)
    wire.faults.clear()
    wire.faults.on("GET", f"/{job.id}$", status(429, retry_after=0.01), times=9)

    with pytest.raises(ProviderUnavailableError) as limit:
        provider.poll(job.id)

    assert wire.faults.count("GET", f"/{job.id}$") == 3
    assert limit.value.retry_after_s == 0.01


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
def test_the_sdk_does_not_ask_a_refused_question_again(wire, files, tmp_path, code):
    wire.faults.on("*", ".", status(code), times=9)

    with pytest.raises(ProviderError):
        _with_retries(wire, tmp_path).submit(KEY, SPEC, files)

    assert len(wire.faults.requests) == 1


@pytest.mark.parametrize("fault", [lost_reply, failed_reply, truncated, lambda: truncated(says_so=True)])
def test_the_sdk_never_creates_again_by_itself(wire, files, tmp_path, fault):
    provider = _with_retries(wire, tmp_path)
    wire.faults.on(*wire.creates, fault(), times=9)

    job = provider.submit(KEY, SPEC, files)

    assert wire.jobs.created == wire.faults.count(*wire.creates) == 1
    assert wire.jobs.get(job.id) is not None


@pytest.mark.parametrize("answer", [{}, [], "text", {"id": None}, {"id": "../../etc", "status": "running"}])
def test_an_answer_of_another_shape_is_no_job(wire, answer):
    wire.faults.on("GET", ".", status(200, body=answer))
    with pytest.raises(ProviderUnavailableError, match="cannot be read"):
        wire.provider.poll("job-1")
