"""From an uploaded file to a model, whatever is killed on the way."""

import base64
import io
import itertools
import os
import time
from pathlib import Path

import pytest

from gateway_tuning.local_service.store import events as event_store
from gateway_tuning.local_service.store import files as file_store
from gateway_tuning.local_service.store import jobs as job_store
from gateway_tuning.local_service.store import models as model_store
from gateway_tuning.local_service.store.jobs import Job
from gateway_tuning.local_service.store.models import TunedModel, checkpoint_name, model_name
from gateway_tuning.local_service.store.whole_files import write_whole
from gateway_tuning.local_service.training import checkpoints, ending, running
from gateway_tuning.training.job import JobStatus, ProviderJob
from tests.unit.local_service.conftest import HandTrainer, World, chats

OF = 6


class Killed(BaseException):
    """kill -9: nothing catches it."""


@pytest.fixture
def started(world):
    return lambda: start(world)


def start(world, number=1):
    service = world.service
    file_id = f"file-{number:024x}"
    file = service.files.add([chats()], filename="train.jsonl", purpose="fine-tune", now=1.0, id_=file_id)
    job = Job(
        id=f"ftjob-{number:024x}",
        created_at=float(number),
        model="smollm2-135m-instruct",
        method="supervised",
        hyperparameters={"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"},
        seed=1,
        training_file=file.id,
    )
    service.jobs.add(job)
    return job.id


def train(world, job_id, first=1, last=OF):
    world.trainer.steps(job_id, first, last, OF)


def status(world, job_id):
    return world.service.jobs.get(job_id).status


def test_jobs_train_in_turn(world, started):
    first, second = started(), start(world, 2)
    world.tick(2)
    assert [status(world, id_) for id_ in (first, second)] == ["running", "queued"]

    world.trainer.ends(first)
    world.tick(2)
    assert [status(world, id_) for id_ in (first, second)] == ["succeeded", "running"]


def test_as_many_jobs_train_as_were_allowed(tmp_path):
    world = World(tmp_path, HandTrainer(tmp_path / "training"), parallel=2)
    jobs = [start(world, number) for number in (1, 2, 3)]
    world.tick(3)

    assert [status(world, id_) for id_ in jobs] == ["running", "running", "queued"]


def test_the_trainer_gets_whole_epochs_of_what_was_asked(world, started):
    job_id = started()
    world.tick(2)
    chosen = world.trainer.specs[job_id].hyperparameters

    assert (chosen["epochs"], chosen["batch_size"], chosen["max_steps"]) == (2, 4, 6)
    assert chosen["learning_rate"] == pytest.approx(4e-3)


def test_an_end_is_told_only_once_nothing_holds_the_data_but_its_file(world, started):
    job_id = started()
    world.tick(2)
    world.trainer.leaving = 2
    world.trainer.ends(job_id)
    world.tick(2)
    assert status(world, job_id) == "running"

    world.tick()
    assert status(world, job_id) == "succeeded"
    holding = [path for path in world.folder.rglob("*") if path.is_file() and b"Order 3" in path.read_bytes()]
    assert holding == [world.service.files.content(world.service.jobs.get(job_id).training_file)]


def test_a_failed_training_says_why_and_leaves_no_model(world, started):
    job_id = started()
    world.tick(2)
    world.trainer.ends(
        job_id, JobStatus.FAILED, "the loss is not finite (log: worker.log in the job's folder)"
    )
    world.tick(2)
    job = world.service.jobs.get(job_id)

    assert (job.status, job.error.message) == ("failed", "the loss is not finite")
    assert world.service.models.oldest_first() == []


def test_a_worker_that_is_only_starting_is_not_started_again(world, started):
    job_id = started()
    world.tick(2)
    world.trainer.states[job_id] = ProviderJob(job_id, JobStatus.QUEUED)
    world.tick(5)

    assert world.trainer.submitted == [job_id]


def test_an_interrupted_training_goes_on(world, started):
    job_id = started()
    world.tick(2)
    for progress in (0.2, 0.4, 0.6, 0.8):
        world.trainer.states[job_id] = ProviderJob(
            job_id, JobStatus.QUEUED, progress, "submit again to resume"
        )
        world.tick()

    assert world.trainer.submitted == [job_id] * 5
    assert status(world, job_id) == "running"


def test_a_worker_that_dies_again_and_again_at_one_step_fails_its_job(world, started):
    job_id = started()
    world.tick(2)
    world.trainer.states[job_id] = ProviderJob(job_id, JobStatus.QUEUED, 0.5, "interrupted at step 3")
    world.tick(10)
    job = world.service.jobs.get(job_id)

    assert (job.status, job.error.code) == ("failed", "server_error")
    assert "interrupted at step 3" in job.error.message
    assert len(world.trainer.submitted) == 4


def test_a_file_that_was_deleted_before_its_job_began_fails_the_job(world, started):
    job_id = started()
    world.service.files.delete(world.service.jobs.get(job_id).training_file)
    world.tick()

    assert world.service.jobs.get(job_id).error.code == "file_not_found"


def test_the_file_that_is_missing_is_the_one_that_is_named(world, started):
    job_id = started()
    world.service.jobs.change(job_id, validation_file="file-" + "9" * 24)
    world.tick()
    error = world.service.jobs.get(job_id).error

    assert (error.code, error.param) == ("file_not_found", "validation_file")


def test_a_file_that_was_deleted_after_its_job_began_is_not_missed(world, started):
    job_id = started()
    world.tick()
    world.service.files.delete(world.service.jobs.get(job_id).training_file)
    world.restart()
    world.tick()

    assert status(world, job_id) == "running"


def test_a_job_cancelled_while_its_model_is_kept_leaves_none(world, started, monkeypatch):
    job_id = started()
    world.tick(2)
    world.trainer.ends(job_id)
    keep = ending.keep_results
    monkeypatch.setattr(
        ending, "keep_results", lambda *args, **kw: world.service.runner.cancel(job_id) and keep(*args, **kw)
    )
    world.tick(2)

    assert status(world, job_id) == "cancelled"
    assert world.service.models.oldest_first() == []
    assert [file.purpose for file in world.service.files.newest_first()] == ["fine-tune"]


def run_to_the_end(world, job_id):
    """What happens where nobody is killed, from wherever the job stands."""
    world.tick(2)
    if status(world, job_id) == "running" and world.trainer.states[job_id].status is JobStatus.RUNNING:
        train(world, job_id)
        world.trainer.ends(job_id)
    world.tick(3)
    return outcome(world, job_id)


def outcome(world, job_id):
    """Everything that a client can see, but the time; events by their keys alone, for a kill can change their order."""
    service = world.service
    job = service.jobs.get(job_id).wire()
    files = service.files.newest_first()
    return {
        **{name: job[name] for name in ("status", "fine_tuned_model", "hyperparameters", "trained_tokens")},
        "events": sorted((event.key, event.message) for event in service.events.of(job_id)),
        "models": [model.name for model in service.models.oldest_first()],
        "files": {file.id: service.files.content(file.id).read_bytes() for file in files},
        "on disk": sorted(str(path.relative_to(world.folder)) for path in world.folder.rglob("*")),
    }


def killed_at(number, *, after):
    """Lets so many files be written less one; at the next the process is gone, before or after it."""
    count = itertools.count(1)

    def write(path, content):
        is_last = next(count) == number
        if is_last and not after:
            raise Killed
        write_whole(path, content)
        if is_last:
            raise Killed

    return write


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_write_ends_in_the_same_state(tmp_path, monkeypatch, after):
    calm = World(tmp_path / "calm", HandTrainer(tmp_path / "calm" / "training"))
    expected = run_to_the_end(calm, start(calm))
    assert expected["status"] == "succeeded"
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        world = World(folder, HandTrainer(folder / "training"))
        job_id = start(world)
        write = killed_at(number, after=after)
        with monkeypatch.context() as patched:
            for module in (file_store, job_store, model_store):
                patched.setattr(module, "write_whole", write)
            try:
                run_to_the_end(world, job_id)
            except Killed:
                pass
            else:
                break
        world.restart()

        assert run_to_the_end(world, job_id) == expected, number
        assert set(world.trainer.submitted) == {job_id}
    assert number > 5


def test_a_full_disk_stops_a_job_for_a_while_and_the_service_not_at_all(world, started, monkeypatch):
    write = itertools.chain([OSError(28, "No space left on device")] * 3, itertools.repeat(None))

    def full_at_first(path, content):
        if error := next(write):
            raise error
        write_whole(path, content)

    job_id = started()
    runner = world.service.runner
    monkeypatch.setattr(running, "_PAUSE_S", 0.01)
    monkeypatch.setattr(job_store, "write_whole", full_at_first)
    runner.start()
    deadline = time.monotonic() + 20
    while status(world, job_id) != "running":
        assert time.monotonic() < deadline
        runner.wake()
        time.sleep(0.01)
    runner.stop()

    assert world.trainer.submitted == [job_id]


def test_an_event_that_a_kill_cut_in_two_is_taken_away_and_told_again(world, started):
    job_id = started()
    world.tick()
    log = world.folder / "jobs" / job_id / "events.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-20])
    world.restart()
    world.service.runner.tell(job_id, "validated", "Files validated, moving job to queued state")

    assert [event.key for event in event_store.EventLog(world.folder / "jobs").of(job_id)] == [
        "validating",
        "validated",
    ]


def test_of_a_step_that_was_done_twice_the_later_counts(world, started):
    job_id = started()
    world.tick(2)
    train(world, job_id, last=4)
    world.tick()
    world.trainer.writes(job_id, {"event": "resumed", "step": 3, "of": OF, "examples": 12})
    world.trainer.writes(job_id, {"event": "step", "step": 4, "of": OF, "loss": 1.25})
    world.trainer.ends(job_id)
    world.tick(2)
    (result,) = world.service.jobs.get(job_id).result_files
    table = base64.b64decode(world.service.files.content(result).read_bytes()).decode().splitlines()
    assert [row.split(",")[:2] for row in table[-2:]] == [["3", "2.7"], ["4", "1.25"]]
    assert "Training goes on after step 3 of 6" in [
        event.message for event in world.service.events.of(job_id)
    ]


def test_the_last_checkpoints_are_kept_as_models_and_go_with_the_job(world, started, monkeypatch, tmp_path):
    job_id = started()
    world.tick(2)
    job = world.service.jobs.get(job_id)
    adapter = tmp_path / "step.gguf"

    def write(training, step, base_config, target):
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"%d" % step)
        return True

    monkeypatch.setattr(ending.checkpoints, "write_adapter", write)
    for step in (2, 4, 6, 4):
        ending.keep_checkpoint(world.service.models, job, tmp_path, step, lambda: adapter, now=float(step))
    assert [model.step for model in ending.of_job(world.service.models, job)] == [4, 6]
    assert world.service.models.adapter(checkpoint_name(job, 6)).read_bytes() == b"6"

    adapter.write_bytes(b"final")
    world.service.models.add(TunedModel(name=model_name(job), job_id=job.id, created_at=9.0), adapter)
    world.service.models.delete(model_name(job))
    assert world.service.models.oldest_first() == []


def test_a_model_whose_deletion_was_cut_off_is_swept_away(world, tmp_path):
    models, adapter = world.service.models, tmp_path / "adapter"
    adapter.write_bytes(b"an adapter")
    for name in ("ft:kept", "ft:dropped"):
        models.add(TunedModel(name=name, job_id="ftjob-1", created_at=1.0), adapter)
    half = models.adapter("ft:dropped").parent
    (half / "model.json").unlink()
    models.sweep()

    assert not half.exists()
    assert models.adapter("ft:kept").read_bytes() == b"an adapter"


@pytest.mark.parametrize("what", ["file", "model"])
def test_what_cannot_be_deleted_is_not_told_as_deleted(world, started, monkeypatch, tmp_path, what):
    file_id, unlink = world.service.jobs.get(started()).training_file, os.unlink
    world.service.models.add(TunedModel(name="ft:x", job_id="j", created_at=1.0), Path(__file__))

    def refused(path, *args, **named):
        if Path(path).name in {"content", "adapter.gguf"}:
            raise PermissionError(1, "Operation not permitted")
        unlink(path, *args, **named)

    monkeypatch.setattr(os, "unlink", refused)
    with pytest.raises(PermissionError):
        world.service.files.delete(file_id) if what == "file" else world.service.models.delete("ft:x")


def test_a_damaged_checkpoint_is_passed_over_as_the_worker_does(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-000002.safetensors").write_bytes(b"half")

    assert not checkpoints.write_adapter(tmp_path, 2, tmp_path, tmp_path / "adapter.gguf")


def test_a_stored_file_with_an_id_is_written_once(world):
    store = world.service.files
    for content in (b"a", b"bb"):
        store.add(io.BytesIO(content), filename="x", purpose="p", now=1.0, id_="file-" + "0" * 24)

    assert [file.bytes for file in store.newest_first()] == [2]


def test_of_a_refused_file_no_copy_is_left_when_the_refusal_is_told(world, started):
    job_id = started()
    path = world.service.files.content(world.service.jobs.get(job_id).training_file)
    path.write_bytes(path.read_bytes() + b"\n{")
    world.tick()
    holding = [path for path in world.folder.rglob("*") if path.is_file() and b"Order 3" in path.read_bytes()]

    assert status(world, job_id) == "failed"
    assert holding == [path]
