"""Bedrock by boto3: a fake of ours on the wire and S3 by moto. What all providers must do is in tests/contracts."""

import math
import sys
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_tuning.errors import (
    ConflictError,
    MissingExtraError,
    NotFoundError,
    ProviderError,
    ProviderUnavailableError,
)
from gateway_tuning.training.job import JobStatus, TrainingFiles
from gateway_tuning.training.providers.bedrock.provider import job_name
from gateway_tuning.training.watching.finding import names
from tests.s3 import Fault, Proxy
from tests.wire.bedrock import ENDED
from tests.wire.bedrock_world import SPEC, bedrock_world, nova
from tests.wire.driving import Caller, script, sequences
from tests.wire.faults import lost_reply, slow, status

CREATE = r"/model-customization-jobs$"
_numbers = count(1)


@pytest.fixture(scope="module")
def at_work():
    with bedrock_world() as world:
        yield world


@pytest.fixture
def world(at_work):
    yield at_work
    at_work.faults.clear()
    at_work.fake.says = lambda job: job.status
    at_work.fake.writes_metrics = at_work.fake.names_are_unique = True


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    return TrainingFiles(nova(folder / "train.jsonl", 12), nova(folder / "validation.jsonl", 3))


@pytest.fixture
def key():
    return f"{next(_numbers):064x}"[::-1]


def test_a_finished_job_tells_its_losses_by_step_and_its_model_is_asked_by_arn(world, files, key):
    job = Caller(world.provider).run(key, SPEC, files)

    assert [checkpoint.step for checkpoint in job.checkpoints] == [1, 2, 3, 4]
    assert job.checkpoints[1].metrics == {"train_loss": 1.0, "validation_loss": 1.0}
    assert job.metrics == {"train_loss": 0.5, "validation_loss": 0.625, "steps": 4.0}
    assert world.provider.collect(job.id).served_model == world.fake.named(job_name(key))[0].model_arn


def test_a_job_without_a_metrics_file_tells_what_the_service_tells(world, files, key):
    world.fake.writes_metrics = False
    job = Caller(world.provider).run(key, SPEC, TrainingFiles(files.train))
    assert (job.metrics, job.checkpoints) == ({"train_loss": 0.5}, ())


def test_a_job_at_work_says_in_which_phase_it_is(world, files, key):
    job = world.provider.submit(key, SPEC, files)
    said = [job.message, *(world.provider.poll(job.id).message for _ in range(2))]
    assert said == ["checking the data", "preparing the data", "training"]


def test_a_status_that_nobody_knows_counts_as_running_and_is_told(world, files, key):
    job = world.provider.submit(key, SPEC, files)
    world.fake.says = lambda _job: "Hibernating"
    seen = world.provider.poll(job.id)
    assert seen.status is JobStatus.RUNNING
    assert "Hibernating" in seen.message


def test_a_job_whose_data_went_missing_fails_with_the_services_reason(world, files, key):
    job = world.provider.submit(key, SPEC, files)
    for name in world.objects(key):
        world.s3.delete_object(Bucket="tuning", Key=name)
    seen = [world.provider.poll(job.id) for _ in range(4)][-1]
    assert seen.status is JobStatus.FAILED
    assert "could not be read" in seen.message
    with pytest.raises(ProviderError, match="failed"):
        world.provider.collect(job.id)


def test_what_a_job_was_made_of_stands_in_its_tags(world, files, key):
    world.provider.submit(key, SPEC, files)
    (made,) = world.fake.named(job_name(key))
    tags = {tag["key"]: tag["value"] for tag in made.request["jobTags"]}
    assert tags["gateway-tuning:dataset_id"] == "ds-1"
    assert tags["gateway-tuning:train_sha256"] in made.request["trainingDataConfig"]["s3Uri"]
    assert made.request["hyperParameters"] == {"learningRate": "0.00001", "epochCount": "2"}


def test_a_job_that_was_created_in_silence_is_found_and_its_data_is_not_sent_again(world, files, key):
    world.faults.on("POST", CREATE, lost_reply())
    with pytest.raises(ProviderUnavailableError):
        world.provider.submit(key, SPEC, files)
    sent = world.objects(key)

    job = world.provider.submit(key, SPEC, files)

    assert [made.arn for made in world.fake.named(job_name(key))] == [job.id]
    assert world.objects(key) == sent


@pytest.mark.parametrize("names_are_unique", [True, False])
def test_who_sees_no_job_in_the_list_yet_makes_no_second_one(world, files, key, names_are_unique):
    world.fake.names_are_unique = names_are_unique
    job = world.provider.submit(key, SPEC, files)
    nothing = status(200, body={"modelCustomizationJobSummaries": []})
    world.faults.on("GET", CREATE, nothing)

    assert world.provider.submit(key, SPEC, files).id == job.id
    assert len(world.fake.named(job_name(key))) == 1


def test_other_parameters_under_a_token_that_was_used_are_a_conflict(world, files, key):
    world.provider.submit(key, SPEC, files)
    world.faults.on("GET", CREATE, status(200, body={"modelCustomizationJobSummaries": []}))
    with pytest.raises(ConflictError, match="seed"):
        world.provider.submit(key, replace(SPEC, seed=7), files)
    assert len(world.fake.named(job_name(key))) == 1


def test_jobs_of_ours_are_listed_with_the_beginning_of_their_keys_over_all_pages(world, files):
    keys = [f"{next(_numbers):064x}"[::-1] for _ in range(5)]
    ids = [world.provider.submit(key, SPEC, files).id for key in keys]
    known = list(world.provider.known_jobs())
    assert [job.seen.id for job in known][:5] == ids[::-1]
    assert all(names(job, key) for job, key in zip(known[:5], keys[::-1], strict=True))


def test_discarding_deletes_every_version_of_the_data_and_broken_uploads(world, files, key):
    job = Caller(world.provider).run(key, SPEC, files)
    train = next(name for name in world.objects(key) if "/data/train" in name)
    world.s3.put_object(Bucket="tuning", Key=train, Body=b"Thank you for asking! twice")
    world.s3.delete_object(Bucket="tuning", Key=train)
    world.s3.create_multipart_upload(Bucket="tuning", Key=train)
    assert world.holds(key, "Thank you for asking!")

    world.provider.discard(job.id)

    assert all("/output/" in name for name in world.objects(key))
    assert "Uploads" not in world.s3.list_multipart_uploads(Bucket="tuning", Prefix=train)


def test_parts_of_an_upload_that_broke_off_are_data_and_are_discarded(world, key):
    name = f"some/folder/{job_name(key)}/data/train-1.jsonl"
    upload = world.s3.create_multipart_upload(Bucket="tuning", Key=name)["UploadId"]
    world.s3.upload_part(Bucket="tuning", Key=name, UploadId=upload, PartNumber=1, Body=b"Thank you")

    world.provider.discard(key)

    assert "Uploads" not in world.s3.list_multipart_uploads(Bucket="tuning", Prefix=name)
    with pytest.raises(NotFoundError):
        world.provider.discard(key)


def test_a_loss_that_is_not_finite_is_seen_at_its_step(world, files, key):
    job = Caller(world.provider).run(key, SPEC, files)
    curve = next(name for name in world.objects(key) if name.endswith("step_wise_training_metrics.csv"))
    table = b"step_number,epoch_number,training_loss\n1,0,2.5\n2,0,inf\n3,0,nan\n4,0,\n"
    world.s3.put_object(Bucket="tuning", Key=curve, Body=table)

    losses = [one.metrics.get("train_loss") for one in world.provider.poll(job.id).checkpoints]

    assert losses[:2] == [2.5, math.inf]
    assert math.isnan(losses[2])
    assert losses[3] is None


def test_a_base_model_that_has_ended_is_refused_with_a_way_out_and_leaves_no_data(world, key, tmp_path):
    train = tmp_path / "train.jsonl"
    line = '{"messages":[{"role":"user","content":"Where is it?"},{"role":"assistant","content":"Here."}]}'
    train.write_text("\n".join([line] * 32))
    with pytest.raises(ProviderError, match=r"has ended on Bedrock.*datasets export"):
        world.provider.submit(key, replace(SPEC, base_model=ENDED, hyperparameters={}), TrainingFiles(train))
    assert world.objects(key) == []


def _refusal(code, message):
    return {"__type": code, "message": message}


@pytest.mark.parametrize(
    ("code", "http", "told"),
    [
        ("AccessDeniedException", 403, "iam:PassRole on arn:aws:iam::123456789012:role/tuner"),
        ("ServiceQuotaExceededException", 400, "AWS Service Quotas"),
        ("ValidationException", 400, "Correct the request"),
        ("ResourceNotFoundException", 404, "cannot be tuned in us-east-1"),
        ("UnrecognizedClientException", 403, "credentials"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(  # noqa: PLR0917 - three fixtures and a row
    world, files, key, code, http, told
):
    world.faults.on("POST", CREATE, status(http, body=_refusal(code, "No.")))
    with pytest.raises(ProviderError, match=told) as refusal:
        world.provider.submit(key, SPEC, files)
    assert not isinstance(refusal.value, ProviderUnavailableError)
    assert world.faults.count("POST", CREATE) == 1
    assert world.objects(key) == []


def test_throttling_says_when_to_come_back(world, files, key):
    body = _refusal("ThrottlingException", "Rate exceeded")
    world.faults.on("GET", CREATE, status(400, retry_after=17, body=body))
    with pytest.raises(ProviderUnavailableError, match="17 s") as busy:
        world.provider.submit(key, SPEC, files)
    assert busy.value.retry_after_s == 17


def test_a_service_that_does_not_answer_in_time_may_be_asked_again(world, files, key):
    world.faults.on("GET", CREATE, slow(0.5))
    with pytest.raises(ProviderUnavailableError, match="ReadTimeoutError"):
        world.with_account(read_timeout_s=0.1).submit(key, SPEC, files)


def test_an_s3_that_is_away_may_be_asked_again(world, files, key):
    away = world.with_account(s3_endpoint_url="http://127.0.0.1:9")
    with pytest.raises(ProviderUnavailableError, match="s3://tuning"):
        away.submit(key, SPEC, files)
    assert world.fake.named(job_name(key)) == []


def test_an_s3_that_is_busy_may_be_asked_again_and_one_that_forbids_may_not(world, files, key):
    proxy = Proxy(int(world.provider.account.s3_endpoint_url.rpartition(":")[2]))
    proxy.start()
    behind = world.with_account(s3_endpoint_url=f"http://127.0.0.1:{proxy.port}")
    try:
        for http, error in ((503, ProviderUnavailableError), (403, ProviderError)):
            proxy.set_rule(lambda asked, http=http: Fault(status=http) if asked.method == "PUT" else None)
            with pytest.raises(ProviderError, match="store the train data") as told:
                behind.submit(key, SPEC, files)
            assert type(told.value) is error
    finally:
        proxy.stop()


def test_a_missing_sdk_is_told_with_the_command_that_installs_it(world, files, key, monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setitem(sys.modules, "boto3.exceptions", None)
    with pytest.raises(MissingExtraError, match=r"llm-gateway-tuning\[bedrock\]"):
        world.provider.submit(key, SPEC, files)


def test_a_bucket_that_does_not_exist_is_named(world, files, key):
    lost = world.with_account(data_url="s3://no-such-bucket/x")
    with pytest.raises(ProviderError, match=r"no-such-bucket.*Create the bucket"):
        lost.submit(key, SPEC, files)


def test_metrics_that_may_not_be_read_do_not_cost_the_model(world, files, key):
    job = Caller(world.provider).run(key, SPEC, files)
    elsewhere = world.with_account(data_url="s3://no-such-bucket/x")
    seen = elsewhere.poll(job.id)
    assert seen.status is JobStatus.SUCCEEDED
    assert "losses by step cannot be read" in seen.message


def test_a_job_that_has_vanished_is_not_found(world, files, key):
    job = world.provider.submit(key, SPEC, files)
    world.fake.jobs = [made for made in world.fake.jobs if made.arn != job.id]
    with pytest.raises(NotFoundError):
        world.provider.poll(job.id)


def test_a_job_that_ends_while_it_is_being_stopped_has_ended(world, files, key):
    job = world.provider.submit(key, SPEC, files)
    (made,) = world.fake.named(job_name(key))
    world.fake.says = lambda _job: "InProgress" if made.looks < 3 else made.status
    made.status = "Completed"
    world.provider.cancel(job.id)
    assert world.provider.poll(job.id).status is JobStatus.SUCCEEDED


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=sequences)
def test_whatever_the_wire_does_there_is_one_job_and_it_ends(world, files, sequence):
    key = f"{next(_numbers):064x}"[::-1]
    script(world.faults, sequence)
    caller = Caller(world.provider)

    job = caller.run(key, SPEC, files)

    assert job.status is JobStatus.SUCCEEDED
    assert [made.arn for made in world.fake.named(job_name(key))] == [job.id]
    assert caller.questions <= len(sequence) + 5
    world.faults.clear()
    assert world.provider.poll(job.id) == job


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=sequences, code=st.sampled_from([400, 401, 403, 404, 409]))
def test_a_refusal_is_not_asked_again_whatever_else_the_wire_does(world, files, sequence, code):
    world.faults.clear()
    refusal = status(code, body=_refusal("ValidationException", "No."))
    world.faults.on("POST", CREATE, refusal, times=10**6)
    script(world.faults, sequence, clear=False)
    key = f"{next(_numbers):064x}"[::-1]
    with pytest.raises((ProviderError, ConflictError)) as refused:
        Caller(world.provider).run(key, SPEC, files)
    assert not isinstance(refused.value, ProviderUnavailableError)
    assert world.faults.count("POST", CREATE) == 1
