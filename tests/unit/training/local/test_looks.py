"""What a local job tells of its validation loss on the way, from the lines that its worker leaves."""

import pytest

from gateway_tuning.training.job import Checkpoint, JobStatus
from gateway_tuning.training.local.job_folder import JobFolder, LocalSpec, State
from gateway_tuning.training.local.model.weights import BASE_MODEL
from gateway_tuning.training.providers.llama import LlamaProvider
from gateway_tuning.training.watching.limits import Limits, best_offered, patience_is_spent


@pytest.fixture
def folder(tmp_path):
    made = JobFolder(tmp_path / "jobs" / "one")
    made.path.mkdir(parents=True)
    made.write_spec(LocalSpec(BASE_MODEL, "supervised", {}, 0, "ds", "0" * 64, "0" * 64))
    made.write_state(State(JobStatus.RUNNING, step=4, of=8, message="training"))
    made.log_event("started", step=0, of=8, examples=16)
    return made


@pytest.fixture
def poll(folder):
    return LlamaProvider(folder.path.parent, folder.path.parent / "cache").poll


def step(folder, number, **figures):
    folder.log_event("step", step=number, of=8, loss=1.0, seconds=0.5, **figures)


def looks(job):
    return [(checkpoint.step, checkpoint.metrics["validation_loss"]) for checkpoint in job.checkpoints]


def test_a_job_that_has_told_nothing_has_no_checkpoint(folder, poll):
    (folder.path / "progress.jsonl").unlink()

    assert poll("one").checkpoints == ()


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.SUCCEEDED])
def test_every_look_at_the_validation_loss_is_told_and_no_other_step(folder, poll, status):
    step(folder, 1)
    step(folder, 2, validation_loss=3.5, validation_accuracy=0.5)
    step(folder, 3)
    step(folder, 4, validation_loss=2.5, validation_accuracy=0.6)
    folder.write_state(State(status, step=4, of=8))

    assert looks(poll("one")) == [(2, 3.5), (4, 2.5)]


def test_a_step_that_was_done_again_after_a_kill_counts_as_it_went_last(folder, poll):
    step(folder, 2, validation_loss=3.5)
    step(folder, 4, validation_loss=2.5)
    folder.log_event("resumed", step=2, of=8, examples=16)
    step(folder, 4, validation_loss=2.25)

    assert looks(poll("one")) == [(2, 3.5), (4, 2.25)]


@pytest.mark.parametrize("behind", ["", '{"event": "resumed", "step": 2, "of": 8, "examples": 16}\n'])
def test_a_line_that_is_not_whole_is_no_look_and_no_error(folder, poll, behind):
    step(folder, 2, validation_loss=3.5)
    with (folder.path / "progress.jsonl").open("a") as stream:
        stream.write('{"event": "step", "step": 4, "validation_loss": 2.' + behind)

    assert looks(poll("one")) == [(2, 3.5)]


def test_a_local_checkpoint_cannot_be_asked_so_no_watcher_takes_it_for_the_result(folder, poll):
    for number in range(1, 8):
        step(folder, number, validation_loss=3.0 + number)
    checkpoints = poll("one").checkpoints

    assert patience_is_spent(checkpoints, Limits())
    assert best_offered(checkpoints) is None
    assert checkpoints[0] == Checkpoint(1, {"validation_loss": 4.0})
