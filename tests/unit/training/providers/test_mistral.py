"""Mistral by its own SDK against a fake of ours. What all providers must do is in tests/contracts."""

import math
import sys
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway_tuning.errors import (
    ConfigurationError,
    ConflictError,
    MissingExtraError,
    NotFoundError,
    ProviderError,
    ProviderUnavailableError,
)
from gateway_tuning.settings import Settings
from gateway_tuning.training.job import JobStatus, TrainingFiles
from gateway_tuning.training.providers.mistral import provider as mistral
from gateway_tuning.training.providers.mistral import wire
from gateway_tuning.training.providers.mistral.seen import seen
from gateway_tuning.training.providers.mistral.wire import MistralAccount
from gateway_tuning.training.watching.finding import names
from tests.wire.driving import Caller, script, sequences
from tests.wire.faults import failed_reply, lost_reply, slow, status
from tests.wire.mistral_world import SPEC, chats, mistral_world

JOBS = r"/fine_tuning/jobs$"
_numbers = count(1)


@pytest.fixture(scope="module")
def at_work():
    with mistral_world() as world:
        yield world


@pytest.fixture
def world(at_work):
    yield at_work
    at_work.faults.clear()
    at_work.fake.says = lambda job: job.status
    at_work.fake.knows_dry_runs, at_work.fake.metadata = True, None


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    return TrainingFiles(chats(folder / "train.jsonl", 12), chats(folder / "validation.jsonl", 3))


def new_key():
    return f"{next(_numbers):064x}"[::-1]


def made(world, key):
    return [job.id for job in world.fake.suffixed(mistral.suffix(key))]


def test_a_finished_job_tells_its_checkpoints_in_order_its_tokens_and_its_model(world, files):
    key = new_key()
    job = Caller(world.provider).run(key, SPEC, files)

    assert [checkpoint.step for checkpoint in job.checkpoints] == [1, 2, 3, 4]
    assert job.checkpoints[-1].metrics["validation_loss"] == 0.625
    assert (job.metrics["train_loss"], job.metrics["steps"], job.metrics["tokens"]) == (0.5, 4, 4096)
    assert (
        world.provider.collect(job.id).served_model
        == f"ft:ministral-8b-latest:{mistral.suffix(key)}:{job.id[:8]}"
    )


def test_the_model_and_the_hyperparameters_arrive_as_they_were_given(world, files):
    key = new_key()
    world.provider.submit(key, SPEC, files)
    (job,) = world.fake.suffixed(mistral.suffix(key))
    assert job.request["model"] == "ministral-8b-latest"
    assert job.request["hyperparameters"] == {"learning_rate": 1e-4, "training_steps": 4}
    train, held_out = (
        world.fake.files[job.request[split][0]] for split in ("training_files", "validation_files")
    )
    assert (train.content, held_out.content) == (files.train.read_bytes(), files.validation.read_bytes())


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"cost": 4, "cost_currency": "USD"}, {"cost": 4.0}),
        ({"cost": 4.5, "cost_currency": "EUR"}, {"cost_eur": 4.5}),
        ({"cost": 4.5}, {}),
        ({"cost": None, "cost_currency": "USD"}, {}),
        (None, {}),
    ],
)
def test_a_price_is_told_in_its_currency_or_not_at_all(world, files, metadata, told):
    world.fake.metadata = metadata
    metrics = Caller(world.provider).run(new_key(), SPEC, files).metrics
    assert {name: value for name, value in metrics.items() if "cost" in name} == told


@pytest.mark.parametrize(
    ("said", "status_"),
    [
        ("QUEUED", JobStatus.QUEUED),
        ("VALIDATING", JobStatus.QUEUED),
        ("VALIDATED", JobStatus.QUEUED),
        ("STARTED", JobStatus.RUNNING),
        ("RUNNING", JobStatus.RUNNING),
        ("CANCELLATION_REQUESTED", JobStatus.RUNNING),
        ("SUCCESS", JobStatus.SUCCEEDED),
        ("FAILED", JobStatus.FAILED),
        ("FAILED_VALIDATION", JobStatus.FAILED),
        ("CANCELLED", JobStatus.CANCELLED),
        ("HIBERNATING", JobStatus.RUNNING),
    ],
)
def test_every_status_has_its_meaning(world, files, said, status_):
    job = world.provider.submit(new_key(), SPEC, files)
    world.fake.says = lambda _job: said
    seen = world.provider.poll(job.id)
    assert seen.status is status_
    assert ("not known here" in seen.message) == (said == "HIBERNATING")


def test_a_list_with_a_status_that_nobody_knows_is_read_all_the_same(world, files):
    key = new_key()
    job = world.provider.submit(key, SPEC, files)
    world.fake.says = lambda _job: "HIBERNATING"
    assert world.provider.submit(key, SPEC, files).id == job.id
    assert made(world, key) == [job.id]


def test_a_job_whose_file_went_missing_fails_with_the_services_reason(world, files):
    key = new_key()
    job = world.provider.submit(key, SPEC, files)
    made_of = world.fake.suffixed(mistral.suffix(key))[0]
    made_of.status = "QUEUED"
    world.fake.files.clear()
    seen = world.provider.poll(job.id)
    assert seen.status is JobStatus.FAILED
    assert "The training file is gone" in seen.message


def test_a_job_that_waits_to_be_started_is_started(world, files):
    key = new_key()
    job = world.provider.submit(key, SPEC, files)
    waiting = world.fake.suffixed(mistral.suffix(key))[0]
    waiting.request["auto_start"], waiting.status = False, "VALIDATED"
    assert world.provider.poll(job.id).status is JobStatus.QUEUED

    world.provider.submit(key, SPEC, files)

    assert Caller(world.provider).run(key, SPEC, files).status is JobStatus.SUCCEEDED


def test_a_job_that_was_created_in_silence_is_found_at_once(world, files):
    key = new_key()
    world.faults.on("POST", JOBS, lost_reply())
    job = world.provider.submit(key, SPEC, files)
    assert made(world, key) == [job.id]


def test_files_that_arrived_are_not_sent_again(world, files):
    key = new_key()
    world.faults.on("POST", JOBS, status(503))
    with pytest.raises(ProviderUnavailableError):
        world.provider.submit(key, SPEC, files)
    sent = world.faults.count("POST", "/files$")

    world.provider.submit(key, SPEC, files)

    assert world.faults.count("POST", "/files$") == sent == 2


def test_jobs_of_ours_are_listed_with_the_beginning_of_their_keys(world, files, monkeypatch):
    monkeypatch.setattr(mistral, "PAGE", 2)
    keys = [new_key() for _ in range(5)]
    ids = [world.provider.submit(key, SPEC, files).id for key in keys]
    world.fake.suffixed(mistral.suffix(keys[0]))[0].request["suffix"] = "somebody-elses"
    known = list(world.provider.known_jobs())
    assert [job.seen.id for job in known][:4] == ids[:0:-1]
    assert ids[0] not in [job.seen.id for job in known]
    assert all(names(job, key) for job, key in zip(known[:4], keys[:0:-1], strict=True))


def test_once_its_files_are_discarded_a_job_is_still_found_but_for_no_other_base_model(world, files):
    key = new_key()
    job = Caller(world.provider).run(key, SPEC, files)
    world.provider.discard(job.id)
    assert world.provider.submit(key, SPEC, files) == job
    with pytest.raises(ConflictError, match="base_model"):
        world.provider.submit(key, replace(SPEC, base_model="open-mistral-nemo"), files)


def test_a_dry_run_tells_tokens_cost_and_duration_and_leaves_nothing(world, files):
    before = dict(world.fake.files), world.fake.creates
    forecast = mistral.dry_run(SPEC, files, account=world.provider.account)
    assert (forecast.cost, forecast.cost_currency, forecast.expected_duration_seconds) == (4.0, "EUR", 120)
    assert forecast.train_tokens == files.train.stat().st_size // 4
    assert forecast.epochs is None
    assert (world.fake.files, world.fake.creates) == before


def test_a_dry_run_that_is_refused_leaves_nothing_either(world, files):
    before = dict(world.fake.files)
    with pytest.raises(ProviderError, match="Invalid model"):
        world.provider.dry_run(replace(SPEC, base_model="no-such-model"), files)
    assert world.fake.files == before


def test_where_dry_runs_are_known_no_more_the_job_that_was_made_is_cancelled_before_it_begins(world, files):
    before = dict(world.fake.files)
    world.fake.knows_dry_runs, world.fake.metadata = False, {"cost": 6.5, "cost_currency": "EUR"}

    forecast = world.provider.dry_run(SPEC, files)

    assert (forecast.cost, forecast.train_tokens) == (6.5, None)
    assert world.fake.jobs[-1].request["auto_start"] is False
    assert world.fake.jobs[-1].status == "CANCELLATION_REQUESTED"
    assert world.fake.files == before


def test_discarding_takes_what_arrived_twice_as_well(world, files):
    key = new_key()
    nothing = status(200, body={"object": "list", "total": 0, "data": []})
    for _ in range(2):
        world.faults.on("POST", JOBS, status(503))
        world.faults.on("GET", "/files$", nothing)
        with pytest.raises(ProviderUnavailableError):
            world.provider.submit(key, SPEC, files)
    job = Caller(world.provider).run(key, SPEC, files)
    assert world.holds(key, "left today")

    world.provider.discard(job.id)

    assert not world.holds(key, "left today")


def test_a_refusal_repeats_nothing_of_what_was_sent(world, files):
    with pytest.raises(ProviderError) as refusal:
        world.provider.submit(new_key(), replace(SPEC, base_model="no-such-model"), files)
    assert "training_files" not in str(refusal.value)
    assert "no-such-model" in str(refusal.value)


@pytest.mark.parametrize(
    ("http", "message", "told"),
    [
        (401, "Unauthorized", "set a key that is valid"),
        (402, "Payment required", "raise the limit"),
        (403, "Forbidden", "the right to tune models"),
        (422, "The dataset has not enough samples", "collect more feedback"),
        (400, "Fine-tuning has been discontinued", "take the dataset elsewhere"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(world, files, http, message, told):
    key = new_key()
    world.faults.on("POST", JOBS, status(http, body={"message": message}))
    with pytest.raises(ProviderError, match=f"(?i){told}") as refusal:
        world.provider.submit(key, SPEC, files)
    assert not isinstance(refusal.value, ProviderUnavailableError)
    assert made(world, key) == []
    assert not world.holds(key, "left today")


def test_a_redirect_is_not_followed_with_training_data(world, files):
    world.faults.on("*", "^(?!/elsewhere)", status(307, location="/elsewhere"), times=9)
    before = len(world.faults.requests)
    with pytest.raises(ProviderError, match="307"):
        world.provider.submit(new_key(), SPEC, files)
    assert len(world.faults.requests) == before + 1


def test_a_job_that_is_refused_but_was_made_all_the_same_keeps_its_files(world, files):
    key = new_key()
    world.faults.on("POST", JOBS, failed_reply(402))
    job = world.provider.submit(key, SPEC, files)
    assert made(world, key) == [job.id]
    assert world.holds(key, "left today")


def test_a_list_that_begins_again_is_given_up(world, monkeypatch):
    monkeypatch.setattr(mistral, "PAGE", 1)
    page = {"object": "list", "total": 9, "data": [{"id": "file-1", "filename": "theirs"}]}
    world.faults.on("GET", "/files$", status(200, body=page), times=99)
    with pytest.raises(ProviderUnavailableError, match="no end"):
        world.provider.discard(new_key())


def test_a_loss_that_is_not_finite_is_seen_in_its_checkpoint_and_is_no_metric_of_the_job():
    checkpoints = [{"step_number": 1, "metrics": {"train_loss": 1.0, "valid_loss": math.inf}}]
    job = seen(wire.Job(id="a", status="RUNNING", checkpoints=checkpoints))
    assert job.checkpoints[0].metrics["validation_loss"] == math.inf
    assert job.metrics == {"train_loss": 1.0, "steps": 1.0}


def test_too_many_requests_say_when_to_come_back(world):
    world.faults.on("GET", JOBS, status(429, retry_after=17))
    with pytest.raises(ProviderUnavailableError, match="17 s") as busy:
        world.provider.poll(new_key())
    assert busy.value.retry_after_s == 17


def test_a_service_that_does_not_answer_in_time_may_be_asked_again(world):
    world.faults.on("GET", JOBS, slow(0.5))
    with pytest.raises(ProviderUnavailableError, match="Timeout"):
        world.with_account(timeout_s=0.1).poll(new_key())


def test_a_key_that_mistral_does_not_know_is_refused(world, files):
    with pytest.raises(ProviderError, match="Set a key"):
        world.with_account(key=SecretStr("sk-other")).submit(new_key(), SPEC, files)


def test_no_key_at_all_is_told_before_anything_is_asked():
    with pytest.raises(ConfigurationError, match="MISTRAL_API_KEY"):
        MistralAccount.from_settings(Settings(mistral_api_key=None, _env_file=None))


def test_a_key_that_no_header_takes_is_told_without_the_key():
    with pytest.raises(ConfigurationError, match="MISTRAL_API_KEY") as refusal:
        MistralAccount.from_settings(Settings(mistral_api_key=SecretStr("sk-own\n"), _env_file=None))
    assert "sk-own" not in str(refusal.value)


def test_a_job_that_has_vanished_is_not_found(world, files):
    job = world.provider.submit(new_key(), SPEC, files)
    world.fake.jobs = [one for one in world.fake.jobs if one.id != job.id]
    with pytest.raises(NotFoundError):
        world.provider.poll(job.id)


def test_a_missing_sdk_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mistralai", None)
    wire.sdk.cache_clear()
    with pytest.raises(MissingExtraError, match=r"llm-gateway-tuning\[mistral\]"):
        MistralAccount(SecretStr("sk-nobody")).client()
    wire.sdk.cache_clear()


def test_an_sdk_that_knows_no_tuning_jobs_is_refused_by_its_version(monkeypatch):
    class Newest:
        def __init__(self, **_given):
            pass

    newest = replace(wire.sdk(), client=Newest)
    monkeypatch.setattr(wire, "sdk", lambda: newest)
    with pytest.raises(ConfigurationError, match=r"mistralai>=1.9.11,<2.5"):
        MistralAccount(SecretStr("sk-newest")).client()


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=sequences)
def test_whatever_the_wire_does_there_is_one_job_and_it_ends(world, files, sequence):
    key = new_key()
    script(world.faults, sequence)
    caller = Caller(world.provider)

    job = caller.run(key, SPEC, files)

    assert job.status is JobStatus.SUCCEEDED
    assert made(world, key) == [job.id]
    assert caller.questions <= len(sequence) + 8
    world.faults.clear()
    assert world.provider.poll(job.id) == job


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=sequences, code=st.sampled_from([400, 401, 403, 404, 422]))
def test_a_refusal_is_not_asked_again_whatever_else_the_wire_does(world, files, sequence, code):
    world.faults.clear()
    world.faults.on("POST", JOBS, status(code, body={"message": "No."}), times=10**6)
    script(world.faults, sequence, clear=False)
    with pytest.raises(ProviderError) as refused:
        Caller(world.provider).run(new_key(), SPEC, files)
    assert not isinstance(refused.value, ProviderUnavailableError)
    assert world.faults.count("POST", JOBS) == 1
