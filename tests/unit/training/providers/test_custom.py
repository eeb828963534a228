"""The contract of a trainer of one's own, as docs/how-to/add-a-provider.md tells it."""

import itertools

import pytest

from gateway_tuning.errors import ConfigurationError, ProviderUnavailableError
from gateway_tuning.settings import Settings
from gateway_tuning.training.job import TrainingFiles
from gateway_tuning.training.providers import custom
from tests.contracts.provider_cases import export
from tests.wire import worlds
from tests.wire.faults import status, truncated

KEY = "0123456789abcdef" * 4
SPEC = worlds.SPECS["custom"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with worlds.opened("custom", tmp_path_factory.mktemp("custom")) as wire:
        yield wire


@pytest.fixture
def wire(opened):
    opened.clear()
    return opened


@pytest.fixture
def files(tmp_path):
    return TrainingFiles(export(tmp_path / "train.jsonl", 12), export(tmp_path / "validation.jsonl", 3))


@pytest.fixture
def ended(wire, files):
    job = wire.provider.submit(KEY, SPEC, files)
    looks = (wire.provider.poll(job.id) for _ in itertools.count())
    return next(seen for seen in looks if seen.status.is_terminal)


def test_a_job_comes_with_all_that_a_trainer_needs(wire, files):
    wire.provider.submit(KEY, SPEC, files)

    asked = wire.jobs.get(KEY).asked
    expected = {
        "key": KEY,
        "base_model": "our-base-7b",
        "method": "supervised",
        "format": "chat",
        "hyperparameters": {"epochs": 2},
        "seed": 0,
        "dataset_id": "ds-1",
    }
    assert expected.items() <= asked.items()
    assert wire.stored(KEY) == [files.train.read_bytes(), files.validation.read_bytes()]


def test_a_file_of_the_result_that_is_not_what_was_told_is_not_taken(wire, ended):
    wire.faults.on("GET", "adapter.bin$", status(200, body="other weights"))
    with pytest.raises(ProviderUnavailableError, match=r"adapter\.bin.*sha256"):
        wire.provider.collect(ended.id)
    assert wire.provider.collect(ended.id).files["adapter.bin"].read_bytes() == b"weights of a kind"


def test_a_file_of_the_result_that_breaks_off_is_fetched_again(wire, ended):
    wire.faults.on("GET", "adapter.bin$", truncated())
    with pytest.raises(ProviderUnavailableError):
        wire.provider.collect(ended.id)
    assert wire.provider.collect(ended.id).files["adapter.bin"].read_bytes() == b"weights of a kind"


def test_what_was_fetched_before_stays_whole_until_the_next_has_come_whole(wire, ended):
    kept = wire.provider.collect(ended.id).files["adapter.bin"]
    for fault in (truncated(), status(200, body="other weights")):
        wire.faults.on("GET", "adapter.bin$", fault)
        with pytest.raises(ProviderUnavailableError):
            wire.provider.collect(ended.id)

    assert kept.read_bytes() == b"weights of a kind"
    assert list(kept.parent.iterdir()) == [kept]


def test_a_trainer_that_tells_what_it_must_not_hears_which_field_it_is(wire):
    wire.faults.on("GET", "/jobs/", status(200, body={"key": "a", "status": "running", "progress": 40}))
    with pytest.raises(ProviderUnavailableError, match="progress: Input should be less"):
        wire.provider.poll("a")


@pytest.mark.parametrize("address", ["trainer.example.com", "ftp://trainer.example.com", "http://a:b:c"])
def test_an_address_that_is_none_is_an_error_of_configuration(address, tmp_path):
    provider = custom.build(Settings(home=tmp_path, custom_trainer_url=address))
    with pytest.raises(ConfigurationError, match="address"):
        provider.poll("a")


def test_a_result_whose_file_would_leave_its_folder_is_not_taken(wire, ended):
    evil = {"files": [{"name": "../../evil", "sha256": "0"}]}
    wire.faults.on("GET", "/result$", status(200, body=evil))
    with pytest.raises(ProviderUnavailableError, match="cannot be read"):
        wire.provider.collect(ended.id)


def test_a_key_that_is_no_plain_name_leads_to_its_own_job(wire, files):
    job = wire.provider.submit("team a/run 1?", SPEC, files)
    assert wire.provider.poll(job.id).id == job.id
    assert wire.provider.submit("team a/run 1?", SPEC, files).id == job.id
    assert wire.jobs.created == 1
