"""`/v1/fine_tuning/jobs` and `/v1/models` as OpenAI's SDK sees them; what trains is done by hand."""

import asyncio
import base64
import json

import httpx
import openai
import pytest

from gateway_tuning.local_service.app import create_app
from gateway_tuning.training.job import JobStatus
from gateway_tuning.training.provider import Capabilities
from tests.unit.local_service.conftest import chats


@pytest.fixture
def finish(world):
    def finish(job_id, steps=6):
        world.tick(2)
        world.trainer.writes(job_id, {"event": "started", "step": 0, "of": steps, "examples": 12})
        world.trainer.steps(job_id, 1, steps, steps)
        world.trainer.ends(job_id)
        world.tick(2)

    return finish


@pytest.fixture
def failed(client, create, upload, world, exact):
    def failed(**files):
        job = create(**{name: upload(content).id for name, content in files.items()})
        world.tick()
        return exact(client.fine_tuning.jobs.retrieve(job.id))

    return failed


def test_a_new_job_has_openais_shape_and_waits_for_its_files_to_be_validated(create, exact):
    job = exact(create(seed=7, suffix="desk", metadata={"team": "support"}))

    assert (job.status, job.seed, job.metadata) == ("validating_files", 7, {"team": "support"})
    assert job.method.type == "supervised"
    assert job.hyperparameters.n_epochs == job.method.supervised.hyperparameters.n_epochs == "auto"
    assert (job.fine_tuned_model, job.finished_at, job.trained_tokens, job.result_files) == (
        None,
        None,
        None,
        [],
    )


def test_a_job_goes_through_openais_statuses_and_tells_what_auto_became(client, create, world, exact):
    job = create()
    seen = []
    for _ in range(2):
        world.tick()
        seen.append(exact(client.fine_tuning.jobs.retrieve(job.id)))

    assert [job.status for job in seen] == ["queued", "running"]
    assert (seen[-1].hyperparameters.n_epochs, seen[-1].hyperparameters.batch_size) == (3, 4)
    assert seen[-1].hyperparameters.learning_rate_multiplier == 1.0


def test_a_succeeded_job_names_its_model_and_its_figures(client, create, finish, exact):
    job = create(suffix="desk")
    finish(job.id)
    ended = exact(client.fine_tuning.jobs.retrieve(job.id))

    assert (ended.status, ended.trained_tokens) == ("succeeded", 900)
    assert ended.finished_at is not None
    assert ended.fine_tuned_model.startswith("ft:smollm2-135m-instruct:desk:")
    assert exact(client.models.retrieve(ended.fine_tuned_model)).id == ended.fine_tuned_model
    assert [model.id for model in client.models.list()] == ["smollm2-135m-instruct", ended.fine_tuned_model]


def test_the_result_file_is_openais_table_in_base64(client, create, finish, exact):
    job = create()
    finish(job.id, steps=3)
    (result,) = client.fine_tuning.jobs.retrieve(job.id).result_files

    assert exact(client.files.retrieve(result)).purpose == "fine-tune-results"
    assert base64.b64decode(client.files.content(result).read()).decode().splitlines() == [
        "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy",
        "1,2.9,,,",
        "2,2.8,,,",
        "3,2.7,,2.2,",
    ]


def test_events_are_newest_first_and_hold_the_figures_of_every_step(client, create, finish, exact):
    job = create()
    finish(job.id, steps=3)
    events = [exact(event) for event in client.fine_tuning.jobs.list_events(job.id, limit=2)]

    assert [event.message for event in reversed(events)] == [
        f"Created fine-tuning job: {job.id}",
        f"Validating training file: {job.training_file}",
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
        "Training on 12 examples in 3 steps",
        "Step 1/3: training loss=2.90",
        "Step 2/3: training loss=2.80",
        "Step 3/3: training loss=2.70, validation loss=2.20",
        f"New fine-tuned model created: {client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model}",
        "The job has successfully completed",
    ]
    metrics = [event.data for event in events if event.type == "metrics"]
    assert metrics[0] == {"step": 3, "total_steps": 3, "train_loss": 2.7, "valid_loss": 2.2}
    assert len({event.id for event in events}) == len(events)


def test_the_last_checkpoint_is_the_model_itself(client, create, finish, exact):
    job = create()
    finish(job.id, steps=3)
    (last,) = [exact(one) for one in client.fine_tuning.jobs.checkpoints.list(job.id)]

    assert last.fine_tuned_model_checkpoint == client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model
    assert (last.step_number, last.metrics.train_loss, last.metrics.valid_loss) == (3, 2.7, 2.2)


def test_the_model_with_the_lowest_validation_loss_shows_the_figures_of_its_own_step(
    client, create, world, exact
):
    job = create()
    world.tick(2)
    for step, loss in ((1, 2.4), (2, 2.0), (3, 2.0), (4, 2.6)):
        line = {"event": "step", "step": step, "of": 4, "loss": 3 - step / 10, "validation_loss": loss}
        world.trainer.writes(job.id, line)
    world.trainer.ends(job.id)
    world.tick(2)
    (last,) = [exact(one) for one in client.fine_tuning.jobs.checkpoints.list(job.id)]

    assert (last.step_number, last.metrics.train_loss, last.metrics.valid_loss) == (2, 2.8, 2.0)


def test_jobs_are_found_by_their_metadata_newest_first(client, create, upload):
    file = upload().id
    first = create(training_file=file, metadata={"key": "a", "team": "x", "empty": ""})
    second = create(training_file=file, metadata={"key": "a", "team": "y"})
    bare = create(training_file=file)

    def found(**query):
        return [job.id for job in client.fine_tuning.jobs.list(limit=1, **query)]

    assert found() == [bare.id, second.id, first.id]
    assert found(metadata={"key": "a"}) == [second.id, first.id]
    assert found(metadata={"key": "a", "team": "x"}) == [first.id]
    assert found(metadata={"empty": ""}) == [first.id]
    assert found(metadata={"key": "b"}) == []
    assert found(extra_query={"metadata": "null"}) == [bare.id]


def test_a_page_after_an_unknown_job_is_refused(client, create):
    create()
    with pytest.raises(openai.NotFoundError, match="ftjob-none"):
        client.fine_tuning.jobs.list(after="ftjob-none")


def test_preferences_are_tuned_on_where_the_trainer_can(client, create, upload, world, exact):
    world.trainer.capabilities = Capabilities({"supervised": "chat", "dpo": "trl-dpo"}, None, 10)
    line = {
        "input": {"messages": [{"role": "user", "content": "Where is it?"}]},
        "preferred_output": [{"role": "assistant", "content": "On its way."}],
        "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
    }
    file = upload("\n".join([json.dumps(line)] * 10).encode()).id
    job = create(training_file=file, method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}})
    world.tick(2)
    running = exact(client.fine_tuning.jobs.retrieve(job.id))

    assert (running.status, running.method.type, running.method.dpo.hyperparameters.beta) == (
        "running",
        "dpo",
        0.2,
    )
    assert (world.trainer.specs[job.id].method, world.trainer.specs[job.id].hyperparameters["beta"]) == (
        "dpo",
        0.2,
    )


def test_a_cancelled_job_is_cancelled_at_once_and_cannot_be_cancelled_again(client, create, world, exact):
    job = create()
    world.tick(2)
    assert exact(client.fine_tuning.jobs.cancel(job.id)).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="cancelled"):
        client.fine_tuning.jobs.cancel(job.id)
    world.tick()

    assert world.trainer.states[job.id].status is JobStatus.CANCELLED
    assert client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model is None
    assert client.fine_tuning.jobs.list_events(job.id).data[0].message == "The job was cancelled"


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (chats(9), "invalid_n_examples", "9 example(s), but must have at least 10"),
        (chats() + b"\n{", "invalid_training_file", "line 13"),
        (chats().replace(b'"assistant"', b'"user"', 1), "invalid_training_file", "line 1: the last message"),
        (chats(weight=0), "invalid_training_file", "12 of 12 lines"),
    ],
)
def test_a_bad_file_fails_its_job_as_at_openai(client, failed, content, code, told):
    job = failed(training_file=content)

    assert (job.status, job.error.code, job.error.param) == ("failed", code, "training_file")
    assert told in job.error.message
    assert "order" not in job.error.message  # what users said stays in the file
    event = client.fine_tuning.jobs.list_events(job.id).data[0]
    assert (event.level, event.message) == ("error", job.error.message)


def test_a_bad_validation_file_is_named_as_the_one_at_fault(failed):
    error = failed(validation_file=b"{}").error

    assert (error.code, error.param) == ("invalid_validation_file", "validation_file")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": "gpt-9"}, "model", "model_not_available"),
        ({"training_file": "file-none"}, "training_file", "file_not_found"),
        ({"validation_file": "file-none"}, "validation_file", "file_not_found"),
        ({"method": {"type": "reinforcement"}}, "method.type", "unsupported_method"),
        ({"method": {"type": "dpo"}}, "method.type", "unsupported_method"),
        ({"hyperparameters": {"n_epochs": 0}}, None, None),
        ({"method": {"type": "dpo"}, "hyperparameters": {"n_epochs": 1}}, None, None),
        ({"method": {"type": "supervised", "dpo": {"hyperparameters": {"beta": 1}}}}, None, None),
        ({"hyperparameters": {"momentum": 1}}, "hyperparameters.momentum", None),
        ({"suffix": "x" * 65}, "suffix", None),
        ({"suffix": "a:b"}, "suffix", None),
        ({"metadata": {"k": "v" * 513}}, "metadata.k", None),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations", None),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once_by_parameter(client, create, fields, param, code):
    with pytest.raises(openai.BadRequestError) as refusal:
        create(**fields)

    assert refusal.value.code == code
    assert param is None or refusal.value.param == param
    assert list(client.fine_tuning.jobs.list()) == []


def test_a_results_file_is_no_training_file(client, create, finish):
    job = create()
    finish(job.id)
    (result,) = client.fine_tuning.jobs.retrieve(job.id).result_files
    with pytest.raises(openai.BadRequestError, match="fine-tune-results"):
        create(training_file=result)


def test_a_deleted_model_is_gone_and_its_job_stays(client, create, finish, world, exact):
    job = create()
    finish(job.id)
    name = client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model

    assert exact(client.models.delete(name)).deleted
    with pytest.raises(openai.NotFoundError, match="ft:smollm2"):
        client.models.retrieve(name)
    assert not list((world.folder / "models").iterdir())
    assert client.fine_tuning.jobs.retrieve(job.id).status == "succeeded"


def test_the_base_model_cannot_be_deleted(client):
    with pytest.raises(openai.PermissionDeniedError, match="base model"):
        client.models.delete("smollm2-135m-instruct")


@pytest.mark.parametrize(
    ("fields", "error", "told"),
    [
        ({"model": "ft:smollm2-135m-instruct:x:none"}, openai.NotFoundError, "does not exist"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "tools"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"extra_body": {"lora": [{"id": 0, "scale": 1}]}}, openai.BadRequestError, "lora"),
    ],
)
def test_a_chat_that_no_model_can_answer_is_refused(client, fields, error, told):
    asked = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hi"}]} | fields
    with pytest.raises(error, match=told):
        client.chat.completions.create(**asked)


def test_a_defect_is_answered_and_what_its_error_says_goes_no_further(world, monkeypatch, caplog):
    def broken(_id):
        raise ValueError("secret words")

    monkeypatch.setattr(world.service.jobs, "get", broken)

    async def asked():
        # Raises what a server would get, and write into its log.
        transport = httpx.ASGITransport(create_app(world.service, key=None))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.get("/v1/fine_tuning/jobs/ftjob-1")

    answer = asyncio.run(asked())

    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "ValueError" in caplog.text
    assert "secret words" not in caplog.text + answer.text


def test_an_unknown_path_is_told_in_openais_shape(http):
    answer = http.get("/v1/embeddings")

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Unknown request URL: GET /v1/embeddings"
