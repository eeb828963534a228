"""OpenAI's training files and hyperparameters in the local trainer's terms."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway_tuning.local_service.store.jobs import JobError
from gateway_tuning.local_service.training.hyperparameters import Hyperparameters, for_trainer, resolved
from gateway_tuning.local_service.training.preparing import prepare
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Where is it?"}
ANSWER = {"role": "assistant", "content": "On its way."}


@pytest.fixture
def prepared(tmp_path):
    def prepared(*lines, method="supervised", export="chat", validation=None):
        train = tmp_path / "given.jsonl"
        train.write_text("\n".join(json.dumps(line) for line in lines))
        return prepare(method, train, validation, export=export, folder=tmp_path / "prepared")

    return prepared


def written(result):
    return [json.loads(line) for line in result.train.read_text().splitlines()]


def test_each_answer_that_is_to_be_learned_becomes_the_end_of_a_chat(prepared):
    quiet = ANSWER | {"weight": 0}
    result = prepared(*[{"messages": [SYSTEM, USER, quiet, USER, ANSWER, USER, ANSWER | {"weight": 1}]}] * 10)

    assert result.examples == 20
    assert written(result)[:2] == [
        {"messages": [SYSTEM, USER, ANSWER, USER, ANSWER]},
        {"messages": [SYSTEM, USER, ANSWER, USER, ANSWER, USER, ANSWER]},
    ]


def test_preferences_become_the_format_that_the_trainer_takes(prepared):
    line = {
        "input": {"messages": [USER]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [ANSWER | {"content": "No idea."}],
    }
    result = prepared(*[line] * 10, method="dpo", export="trl-dpo")

    assert written(result)[0] == {
        "prompt": [USER],
        "chosen": [ANSWER],
        "rejected": [ANSWER | {"content": "No idea."}],
    }


def test_the_same_file_gives_the_same_bytes(prepared):
    lines = [{"messages": [USER, ANSWER]}] * 10
    first = prepared(*lines).train.read_bytes()

    assert prepared(*lines).train.read_bytes() == first


def test_tools_are_told_as_what_the_local_model_cannot_do(prepared):
    tool = {"type": "function", "function": {"name": "track", "parameters": {}}}
    refused = prepared(*[{"messages": [USER, ANSWER], "tools": [tool]}] * 10)

    assert isinstance(refused, JobError)
    assert "tools, which the local model does not call" in refused.message


def test_no_more_than_three_bad_lines_are_told_and_all_are_counted(prepared):
    refused = prepared(*[{"messages": [USER]}] * 7, *[{"messages": [USER, ANSWER]}] * 10)

    assert "7 of 17 lines" in refused.message
    assert refused.message.count("line ") == 3


def test_of_a_line_with_many_faults_a_few_are_told(prepared):
    unknown = {"role": "robot", "content": "Hi"}
    refused = prepared({"messages": [unknown] * 500 + [ANSWER]}, *[{"messages": [USER, ANSWER]}] * 10)

    assert "1 of 11 lines" in refused.message
    assert len(refused.message) < 1000


def test_empty_lines_are_no_examples(prepared, tmp_path):
    (tmp_path / "held_out.jsonl").write_text("\n\n")
    refused = prepared(*[{"messages": [USER, ANSWER]}] * 10, validation=tmp_path / "held_out.jsonl")

    assert (refused.code, refused.param) == ("invalid_n_examples", "validation_file")


@given(
    method=st.sampled_from(["supervised", "dpo"]),
    n_epochs=st.integers(1, 50),
    batch_size=st.integers(1, 256),
    multiplier=st.floats(0.001, 20),
    examples=st.integers(10, 5000),
)
def test_whatever_openai_takes_the_local_trainer_takes_and_trains_every_epoch(
    method, n_epochs, batch_size, multiplier, examples
):
    asked = {"n_epochs": n_epochs, "batch_size": batch_size, "learning_rate_multiplier": multiplier}
    chosen = LoraHyperparameters.model_validate(for_trainer(method, resolved(asked), examples))

    an_epoch = -(-examples // batch_size)
    assert chosen.steps(examples) == n_epochs * an_epoch
    assert 1 <= chosen.checkpoint_every <= min(an_epoch, 20)


def test_auto_becomes_numbers():
    assert resolved(Hyperparameters().model_dump()) == {
        "n_epochs": 3,
        "batch_size": 4,
        "learning_rate_multiplier": 1.0,
    }


@pytest.mark.parametrize(
    "asked", [{"n_epochs": 0}, {"n_epochs": 51}, {"batch_size": 257}, {"learning_rate_multiplier": 0}]
)
def test_what_openai_refuses_is_refused(asked):
    with pytest.raises(ValidationError):
        Hyperparameters.model_validate(asked)
