"""What every training provider must do. A new provider adds one `Case` to `provider_cases.py`."""

import time
from dataclasses import replace

import pytest

from gateway_tuning.errors import ConflictError, NotFoundError, ProviderError
from gateway_tuning.storage.object_store import file_sha256
from gateway_tuning.training.job import JobStatus, TrainingFiles
from tests.contracts.provider_cases import CASES, WORDS, Case, World, parameters

DEADLINE_S = 300


@pytest.fixture(scope="module", params=parameters())
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def world(case, tmp_path_factory) -> World:
    with case.opened(tmp_path_factory.mktemp("provider")) as world:
        yield world


@pytest.fixture(scope="module")
def provider(world):
    return world.provider


@pytest.fixture(scope="module")
def files(case, tmp_path_factory) -> TrainingFiles:
    folder = tmp_path_factory.mktemp("exports")
    return TrainingFiles(case.export(folder / "train.jsonl", 12), case.export(folder / "validation.jsonl", 3))


def _poll_until(provider, job_id, reached):
    deadline = time.monotonic() + DEADLINE_S
    while not reached(job := provider.poll(job_id)):
        assert time.monotonic() < deadline, job
        time.sleep(0.02 if provider.capabilities.is_local else 0)
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


def test_a_job_runs_to_success_and_says_so(case, finished):
    assert (finished.status, finished.progress) == (JobStatus.SUCCEEDED, 1.0)
    assert case.looked_at <= finished.metrics.keys()
    assert all(finished.metrics[name] > 0 for name in case.looked_at)


def test_the_result_is_whole(provider, case, finished):
    result = provider.collect(finished.id)
    assert result.files.keys() == case.result_files
    assert all(path.stat().st_size > 0 for path in result.files.values())
    assert case.metrics <= result.metrics.keys()
    assert result.files or result.served_model


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
        provider.submit("undisturbed", case.spec, TrainingFiles(case.export(tmp_path / "other.jsonl", 13)))


def test_a_cancelled_job_ends_as_cancelled_and_has_no_result(provider, case, files):
    job = provider.submit("cancelled", case.spec, files)
    provider.cancel(job.id)
    assert _wait(provider, job.id).status is JobStatus.CANCELLED
    with pytest.raises(ProviderError, match="cancelled"):
        provider.collect(job.id)
    assert provider.submit("cancelled", case.spec, files).status is JobStatus.CANCELLED


def test_a_job_whose_worker_was_killed_resumes_to_the_same_result(world, case, files, finished):
    if world.kill is None:
        assert not world.provider.capabilities.is_local  # the provider keeps its own workers alive
        return
    provider = world.provider
    job = provider.submit("killed", case.spec, files)
    under_way = _poll_until(provider, job.id, _is_under_way)
    assert under_way.status is JobStatus.RUNNING
    world.kill(job.id)
    interrupted = provider.poll(job.id)
    assert interrupted.status is JobStatus.QUEUED
    assert "submit again to resume" in interrupted.message
    assert provider.submit("killed", case.spec, files).id == job.id
    assert _wait(provider, job.id).status is JobStatus.SUCCEEDED
    assert world.resumed(job.id)
    ours, theirs = (provider.collect(id_).files["adapter_model.safetensors"] for id_ in (job.id, finished.id))
    assert file_sha256(ours) == file_sha256(theirs)


def test_a_discarded_job_keeps_its_model_and_nothing_of_the_data(world, case, files):
    provider = world.provider
    discarded = _wait(provider, provider.submit("discarded", case.spec, files).id)
    assert world.holds("discarded")
    before = _kept(provider.collect(discarded.id))

    _discard_when_ended(provider, discarded.id)
    provider.discard(discarded.id)

    assert not world.holds("discarded")
    assert provider.poll(discarded.id).status is JobStatus.SUCCEEDED
    assert _kept(provider.collect(discarded.id)) == before


def _kept(model):
    return model.served_model, {name: path.read_bytes() for name, path in model.files.items()}


def test_a_job_at_work_is_discarded_only_once_it_was_cancelled_and_ended(world, case, files):
    provider = world.provider
    job = provider.submit("hasty", case.spec, files)
    _poll_until(provider, job.id, lambda job: job.status is not JobStatus.QUEUED)
    with pytest.raises(ConflictError, match="cancel"):
        provider.discard(job.id)
    provider.cancel(job.id)
    _wait(provider, job.id)

    _discard_when_ended(provider, job.id)

    assert not world.holds("hasty")
    assert provider.submit("hasty", case.spec, files).status is JobStatus.CANCELLED


def _discard_when_ended(provider, job_id):
    deadline = time.monotonic() + DEADLINE_S
    while True:  # its end is told before its worker has gone
        try:
            return provider.discard(job_id)
        except ConflictError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_interrupted_submission_is_discarded_whole(world, case, files):
    world.interrupt("cut-off", case.spec, files)
    assert world.holds("cut-off")

    world.provider.discard("cut-off")

    assert not world.holds("cut-off")


def test_too_few_examples_are_refused_with_the_number_needed(provider, case, tmp_path):
    needed = provider.capabilities.min_examples
    files = TrainingFiles(case.export(tmp_path / "train.jsonl", needed - 1))
    with pytest.raises(ProviderError, match=f"at least {needed}"):
        provider.submit("few", case.spec, files)


def test_an_unknown_hyperparameter_is_refused_by_name(provider, case, files):
    with pytest.raises(ProviderError, match="momentum"):
        provider.submit("odd", replace(case.spec, hyperparameters={"momentum": 1}), files)


def test_what_the_provider_cannot_tune_is_refused_and_nothing_of_the_data_stays_there(world, case, files):
    provider = world.provider
    with pytest.raises(ProviderError, match="no-such-model"):
        provider.submit("model", replace(case.spec, base_model="no-such-model"), files)
    with pytest.raises(ProviderError, match="no-such-method"):
        provider.submit("method", replace(case.spec, method="no-such-method"), files)
    assert not world.holds("model")
    assert not world.holds("method")


def test_an_unreadable_file_is_refused_with_its_line(provider, case, tmp_path):
    broken = tmp_path / "train.jsonl"
    broken.write_text("{")
    with pytest.raises(ProviderError, match="line 1"):
        provider.submit("broken", case.spec, TrainingFiles(broken))


def test_no_refusal_tells_what_the_training_data_says(provider, case, tmp_path):
    broken = case.export(tmp_path / "train.jsonl", 12)
    broken.write_text(broken.read_text() + "\n" + WORDS)
    with pytest.raises(ProviderError) as refusal:
        provider.submit("telling", case.spec, TrainingFiles(broken))
    assert WORDS not in str(refusal.value)


def test_an_unknown_job_is_not_found(provider):
    for call in (provider.poll, provider.cancel, provider.collect, provider.discard):
        with pytest.raises(NotFoundError, match="nobody"):
            call("nobody")


def test_a_refused_job_leaves_nothing_behind(world, case, tmp_path):
    files = TrainingFiles(case.export(tmp_path / "train.jsonl", world.provider.capabilities.min_examples - 1))
    with pytest.raises(ProviderError):
        world.provider.submit("refused", case.spec, files)
    with pytest.raises(NotFoundError):
        world.provider.poll("refused")
    assert not world.holds("refused")
