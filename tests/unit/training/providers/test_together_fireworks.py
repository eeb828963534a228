"""What Together and Fireworks are asked for, in the words of their documentation."""

import json
from dataclasses import replace

import pytest

from gateway_tuning.errors import ProviderError, ProviderUnavailableError
from gateway_tuning.training.job import JobStatus, TrainingFiles
from gateway_tuning.training.providers import fireworks
from gateway_tuning.training.providers.together import Job
from tests.contracts.provider_cases import export
from tests.wire import worlds
from tests.wire.driving import Caller
from tests.wire.faults import failed_reply
from tests.wire.faults import status as replies

KEY = "0123456789abcdef" * 4
TOGETHER, FIREWORKS = worlds.SPECS["together"], worlds.SPECS["fireworks"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with (
        worlds.opened("together", tmp_path_factory.mktemp("together")) as together,
        worlds.opened("fireworks", tmp_path_factory.mktemp("fireworks")) as fireworks,
    ):
        yield {"together": together, "fireworks": fireworks}


@pytest.fixture
def together(opened):
    opened["together"].clear()
    return opened["together"]


@pytest.fixture
def fire(opened):
    opened["fireworks"].clear()
    return opened["fireworks"]


@pytest.fixture
def files(tmp_path):
    return TrainingFiles(export(tmp_path / "train.jsonl", 12), export(tmp_path / "validation.jsonl", 3))


@pytest.fixture
def preferences(tmp_path):
    line = {
        "input": {"messages": [{"role": "user", "content": "Where is it?"}]},
        "preferred_output": [{"role": "assistant", "content": "On its way."}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }
    path = tmp_path / "preferences.jsonl"
    path.write_text("\n".join([json.dumps(line)] * 5))
    return TrainingFiles(path)


def _asked(wire):
    (job,) = wire.jobs.newest_first()
    return job.asked


def test_together_is_asked_for_lora_of_the_rank_that_was_given(together, files):
    together.provider.submit(KEY, TOGETHER, files)

    asked = _asked(together)
    assert asked["training_type"] == {"type": "Lora", "lora_r": 16, "lora_alpha": 32}
    assert asked["training_method"] == {"method": "sft", "train_on_inputs": "auto"}
    assert asked["n_epochs"] == 2
    assert asked["suffix"].startswith(f"gt-{KEY[:24]}-")
    assert len(asked["suffix"]) <= 64


def test_together_is_asked_for_nothing_that_was_not_given(together, files):
    together.provider.submit(KEY, replace(TOGETHER, hyperparameters={}), files)
    given = {"model", "training_file", "validation_file", "suffix", "training_method"}
    assert _asked(together).keys() == given


def test_together_learns_preferences_by_dpo(together, preferences):
    spec = replace(TOGETHER, method="dpo", hyperparameters={"beta": 0.2})
    together.provider.submit(KEY, spec, preferences)
    assert _asked(together)["training_method"] == {"method": "dpo", "dpo_beta": 0.2}


@pytest.mark.parametrize("model", ["Meta-Llama-3.1-8B", "Llama-gt-8B"])
def test_a_list_of_together_without_suffixes_still_tells_whose_a_job_is(model):
    mark = "gt-0123456789abcdef01234567-0a1b2c3d-4e5f6a7b"
    job = Job(id="ft-1", status="running", model_output_name=f"acme/{model}-{mark}-99aa88bb")
    assert job.mark == mark


def test_the_price_that_together_tells_at_the_end_is_the_cost_in_dollars(together, files):
    job = together.provider.submit(KEY, TOGETHER, files)
    assert "cost" not in together.provider.poll(job.id).metrics

    ended = Caller(together.provider).run(KEY, TOGETHER, files)

    assert ended.metrics == together.provider.collect(job.id).metrics == {"tokens": 5_768, "cost": 2.45}


@pytest.mark.parametrize(
    ("status", "price"), [("running", 10**9), ("cancelled", 10**9), ("completed", 0), ("completed", None)]
)
def test_a_forecast_or_no_price_of_together_is_no_cost(together, files, status, price):
    job = together.provider.submit(KEY, TOGETHER, files)
    told = {"id": job.id, "status": status, "total_price": price}
    together.faults.on("GET", f"/{job.id}$", replies(200, body=told))
    assert "cost" not in together.provider.poll(job.id).metrics


def test_a_file_at_together_of_which_nothing_arrived_is_sent_again(together, files):
    together.faults.on(*together.creates, replies(503))
    with pytest.raises(ProviderUnavailableError):
        together.provider.submit(KEY, TOGETHER, files)
    id_, (name, _content) = next(iter(together.server.files.items()))
    together.server.files[id_] = (name, b"")

    together.provider.submit(KEY, TOGETHER, files)

    assert together.server.files[_asked(together)["training_file"]][1] == files.train.read_bytes()


def test_progress_at_together_is_the_share_of_its_steps(together, files):
    job = together.provider.submit(KEY, TOGETHER, files)
    seen = [together.provider.poll(job.id) for _ in range(5)]
    assert [one.progress for one in seen] == [None, None, 0.25, 0.5, 0.75]
    assert seen[-1].checkpoints[0].step == 2


def test_fireworks_is_given_ids_so_that_nothing_is_made_twice(fire, files):
    job = fire.provider.submit(KEY, FIREWORKS, files)

    assert job.id == f"supervisedFineTuningJobs/gt-{KEY[:24]}"
    asked = _asked(fire)
    assert (asked["baseModel"], asked["epochs"]) == (FIREWORKS.base_model, 2)
    assert asked["dataset"].startswith(f"accounts/acme/datasets/gt-{KEY[:24]}-train-")
    assert asked["evaluationDataset"].startswith(f"accounts/acme/datasets/gt-{KEY[:24]}-validation-")
    ids = [*fire.server.datasets, job.id.split("/")[1]]
    assert all(len(id_) <= 63 for id_ in ids)


def test_fireworks_learns_preferences_as_a_dpo_job(fire, preferences):
    spec = replace(FIREWORKS, method="dpo", hyperparameters={"epochs": 1, "lora_rank": 8})
    job = fire.provider.submit(KEY, spec, preferences)

    assert job.id == f"dpoJobs/gt-{KEY[:24]}"
    wanted = {"baseModel": spec.base_model, "epochs": 1, "loraRank": 8}
    assert _asked(fire)["trainingConfig"] == wanted
    assert Caller(fire.provider).run(KEY, spec, preferences).status is JobStatus.SUCCEEDED


def test_a_dataset_that_fireworks_still_checks_is_waited_for(fire, files):
    fire.server.checks = 1
    with pytest.raises(ProviderUnavailableError, match="being checked"):
        fire.provider.submit(KEY, FIREWORKS, files)

    assert fire.provider.submit(KEY, FIREWORKS, files).status is JobStatus.QUEUED
    assert fire.jobs.created == 1


def test_an_upload_to_fireworks_that_broke_off_is_made_good(fire, files):
    fire.faults.on("POST", "/datasets$", failed_reply())  # the dataset is there, and empty
    with pytest.raises(ProviderUnavailableError):
        fire.provider.submit(KEY, FIREWORKS, files)

    fire.provider.submit(KEY, FIREWORKS, files)

    assert sorted(fire.stored(KEY)) == sorted([files.train.read_bytes(), files.validation.read_bytes()])


def test_a_file_too_big_for_one_request_is_refused_before_anything_is_sent(fire, files, monkeypatch):
    monkeypatch.setattr(fireworks, "MOST_BYTES", 100)
    with pytest.raises(ProviderError, match="take a sample"):
        fire.provider.submit(KEY, FIREWORKS, files)
    assert fire.faults.requests == []


def test_a_job_that_fireworks_stopped_early_has_succeeded(fire, files):
    job = fire.provider.submit(KEY, FIREWORKS, files)
    fire.jobs.get(job.id).calls_it = "JOB_STATE_EARLY_STOPPED"
    assert fire.provider.poll(job.id).status is JobStatus.SUCCEEDED
    assert fire.provider.collect(job.id).served_model == f"accounts/acme/models/gt-{KEY[:24]}"


def test_a_list_of_fireworks_that_never_goes_on_is_given_up(fire):
    fire.faults.on("GET", "/dpoJobs$", replies(200, body={"dpoJobs": [], "nextPageToken": "2"}), times=99)
    with pytest.raises(ProviderUnavailableError, match="does not go on"):
        list(fire.provider.known_jobs())
