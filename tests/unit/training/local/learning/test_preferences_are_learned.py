"""DPO and KTO on the packaged model: what is preferred on pairs that were never trained on."""

import pytest

from gateway_tuning.training.local.data.chats import Chat
from gateway_tuning.training.local.data.examples import examples_of
from gateway_tuning.training.local.data.preferences import Labelled, Pair
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters, defaults_of

pytestmark = pytest.mark.slow

CURT = "No. Read the manual."
HELD_OUT = 4  # the last question about each of four topics


def _with_answer(chat, answer):
    last = chat.messages[-1].model_copy(update={"content": answer})
    return Chat(messages=(*chat.messages[:-1], last))


@pytest.fixture(scope="module")
def lines(desk_chats):
    return {
        "dpo": [Pair(chat, _with_answer(chat, CURT)) for chat in desk_chats],
        "kto": [
            Labelled(chat if number % 2 else _with_answer(chat, CURT), bool(number % 2))
            for number, chat in enumerate(desk_chats)
        ],
    }


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_margin_on_held_out_examples_rises(method, lines, weights, tmp_path):
    from tokenizers import Tokenizer

    from gateway_tuning.training.local.learning import trainer
    from gateway_tuning.training.local.learning.objective import objective_of

    chosen = {"max_steps": 4, "batch_size": 2, "warmup_steps": 1, "evaluate_every": 2, "rank": 4}
    hyperparameters = LoraHyperparameters.model_validate(defaults_of(method) | chosen)
    examples = examples_of(lines[method], Tokenizer.from_file(str(weights / "tokenizer.json")), 512)
    steps = []
    trained = trainer.train(
        weights,
        examples[:-HELD_OUT],
        examples[-HELD_OUT:],
        objective_of(method, hyperparameters),
        hyperparameters,
        seed=0,
        checkpoint_folder=tmp_path / "checkpoints",
        reference_file=tmp_path / "reference.json",
        on_start=lambda step, of: None,
        on_step=steps.append,
        should_stop=lambda: False,
    )
    first, last = [step.validation for step in steps if step.validation]
    assert abs(steps[0].figures.get("reward_margin", 0)) < 0.05  # the base prefers nothing to itself
    assert last["reward_margin"] > first["reward_margin"] > 0
    assert last["reward_margin"] > 1
    assert last["reward_accuracy"] == 1
    assert trained.counters.best_validation_loss == last["loss"]
