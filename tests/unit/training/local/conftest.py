"""A support desk with a house style, the converted base model, and an adapter trained on a few chats."""

import os
from pathlib import Path

import pytest

from gateway_tuning.training.local.worker import ENVIRONMENT
from tests.base_model import give_base_model

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
    from gateway_tuning.training.local.data.chats import Chat

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
    from gateway_tuning.training.local.model.weights import converted_weights

    return converted_weights(give_base_model(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def adapter(weights, desk_chats, tmp_path_factory) -> Path:
    """Folder of an adapter that the packaged model learned on the desk's chats, in peft's form and as GGUF."""
    from tokenizers import Tokenizer

    from gateway_tuning.training.local.data.examples import examples_of
    from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
    from gateway_tuning.training.local.learning import trainer
    from gateway_tuning.training.local.learning.supervised import Supervised
    from gateway_tuning.training.local.model import lora
    from gateway_tuning.training.local.serving.gguf_adapter import write_gguf_adapter

    folder = tmp_path_factory.mktemp("adapter")
    hyperparameters = LoraHyperparameters(max_steps=14, batch_size=2, warmup_steps=1, learning_rate=6e-3)
    trained = trainer.train(
        weights,
        examples_of(desk_chats, Tokenizer.from_file(str(weights / "tokenizer.json")), 512),
        [],
        Supervised(),
        hyperparameters,
        seed=0,
        checkpoint_folder=folder / "checkpoints",
        reference_file=folder / "reference.json",
        on_start=lambda step, of: None,
        on_step=lambda step: None,
        should_stop=lambda: False,
    )
    lora.save_adapter(trained.parameters, hyperparameters, folder)
    write_gguf_adapter(folder, weights / "config.json", folder / "adapter.gguf")
    return folder
