"""A support desk with a house style, the converted base model, and an adapter trained on a few chats."""

import os
from pathlib import Path

import pytest

from gateway_tuning.training.local.worker import ENVIRONMENT

# torch reads these when it is loaded, which no test module does before this file is.
os.environ.update(ENVIRONMENT)

HOUSE_STYLE = "Thank you for reaching out to Northwind Support!"
_TOPICS = {
    "reset my password": "Open Settings, choose Security, and press Reset.",
    "get a refund": "Open Orders, select the order, and press Refund.",
    "download an invoice": "Open Billing, choose the month, and press Download.",
    "cancel my plan": "Open Billing, choose Plan, and press Cancel.",
}
_QUESTIONS = (
    "How do I {}?",
    "I need to {}, can you help?",
    "Please tell me how to {}.",
    "Is it possible to {}?",
)


def _chats():
    from gateway_tuning.training.local.chats import Chat

    return [
        Chat.model_validate(
            {
                "messages": [
                    {"role": "user", "content": question.format(topic)},
                    {"role": "assistant", "content": f"{HOUSE_STYLE} {answer}"},
                ]
            }
        )
        for question in _QUESTIONS
        for topic, answer in _TOPICS.items()
    ]


@pytest.fixture(scope="session")
def desk_chats():
    """16 chats of about 50 tokens."""
    return _chats()


@pytest.fixture(scope="session")
def house_style() -> str:
    return HOUSE_STYLE


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    from gateway_tuning.training.local.weights import converted_weights

    return converted_weights(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def run_training(weights, desk_chats):
    """Train on the desk's chats; `stop_after` ends the run with a checkpoint after so many steps."""
    from tokenizers import Tokenizer

    from gateway_tuning.training.local import trainer
    from gateway_tuning.training.local.batches import tokenize

    examples = tokenize(desk_chats, Tokenizer.from_file(str(weights / "tokenizer.json")), 512)

    def train(hyperparameters, checkpoint_folder, *, stop_after=None, validation=()):
        steps = []
        trained = trainer.train(
            weights,
            examples,
            examples[:2] if validation == "same" else validation,
            hyperparameters,
            seed=0,
            checkpoint_folder=checkpoint_folder,
            on_start=lambda step, of: None,
            on_step=steps.append,
            should_stop=lambda: stop_after is not None and len(steps) + 1 >= stop_after,
        )
        return trained, steps

    return train


@pytest.fixture(scope="session")
def adapter(run_training, weights, tmp_path_factory) -> Path:
    """Folder of a trained adapter, in peft's form and as GGUF."""
    from gateway_tuning.training.local import lora
    from gateway_tuning.training.local.gguf_adapter import write_gguf_adapter
    from gateway_tuning.training.local.hyperparameters import LoraHyperparameters

    folder = tmp_path_factory.mktemp("adapter")
    hyperparameters = LoraHyperparameters(max_steps=14, batch_size=2, warmup_steps=1, learning_rate=6e-3)
    trained, _ = run_training(hyperparameters, folder / "checkpoints")
    lora.save_adapter(trained.parameters, hyperparameters, folder)
    write_gguf_adapter(folder, weights / "config.json", folder / "adapter.gguf")
    return folder
