import json

import pytest
from pydantic import ValidationError

from gateway_tuning.errors import InputFileError
from gateway_tuning.training.local.data.chats import read_chats
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters


def _line(*roles):
    return json.dumps({"messages": [{"role": role, "content": "text"} for role in roles]})


def test_chats_are_read_one_a_line_and_empty_lines_are_skipped(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(_line("user", "assistant") + "\n\n" + _line("system", "user", "assistant") + "\n")
    assert [len(chat.messages) for chat in read_chats(path)] == [2, 3]


@pytest.mark.parametrize(
    "bad", ['{"messages": 3}', "not json", _line("assistant", "user"), _line("assistant")]
)
def test_a_line_that_is_no_chat_is_named(tmp_path, bad):
    path = tmp_path / "train.jsonl"
    path.write_text(_line("user", "assistant") + "\n" + bad)
    with pytest.raises(InputFileError, match=r"train\.jsonl line 2 is not a chat"):
        read_chats(path)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputFileError, match="cannot be read"):
        read_chats(tmp_path / "none.jsonl")


def test_a_run_ends_at_max_steps_or_after_its_epochs():
    assert LoraHyperparameters(max_steps=40, epochs=3, batch_size=4).steps(280) == 40
    assert LoraHyperparameters(max_steps=40, epochs=3, batch_size=4).steps(10) == 9


@pytest.mark.parametrize(("warmup", "of"), [(0, 1), (0, 10), (4, 10), (4, 3)])
def test_the_learning_rate_rises_to_at_most_its_peak_and_never_stops_before_the_end(warmup, of):
    hyperparameters = LoraHyperparameters(warmup_steps=warmup, learning_rate=0.01)
    rates = [hyperparameters.rate(step, of) for step in range(of)]
    assert all(0 < rate <= 0.01 for rate in rates)
    assert rates[-1] == min(rates[min(warmup, of - 1) :])


def test_an_unknown_hyperparameter_is_refused():
    with pytest.raises(ValidationError, match="lerning_rate"):
        LoraHyperparameters.model_validate({"lerning_rate": 1e-3})
