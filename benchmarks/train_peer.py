"""TRL's SFTTrainer on chats that are already tokens, in the order given, from the adapter that ours begins with."""

import tempfile
import time
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer

from gateway_tuning.training.local.data.batches import TokenizedChat
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
from gateway_tuning.training.local.model import lora

_IGNORED = -100


class _Clock(TrainerCallback):
    def __init__(self) -> None:
        self.began = 0.0
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.began)


def train(
    model: Any,
    batches: Sequence[Sequence[TokenizedChat]],
    hyperparameters: LoraHyperparameters,
    rate: float,
    *,
    checkpointing: bool,
    exact: bool = False,
) -> tuple[list[float], list[float]]:
    """Loss and seconds of every step. What is not named here is as TRL has it by default.

    `exact` computes in float32 rather than under autocast to bfloat16.
    """
    torch.use_deterministic_algorithms(mode=False)
    start = {
        name: tensor.detach().clone() for name, tensor in lora.attach(model, hyperparameters, seed=0).items()
    }
    rows = [
        {
            "input_ids": list(chat.tokens),
            "labels": [_IGNORED] * chat.answer_start + list(chat.tokens[chat.answer_start :]),
        }
        for batch in batches
        for chat in batch
    ]
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=folder,
                max_steps=len(batches),
                per_device_train_batch_size=len(batches[0]),
                train_sampling_strategy="sequential",
                dataset_kwargs={"skip_prepare_dataset": True},
                learning_rate=rate,
                lr_scheduler_type="constant",
                max_grad_norm=hyperparameters.max_gradient_norm,
                gradient_checkpointing=checkpointing,
                bf16=not exact,
                use_cpu=model.device.type == "cpu",
                logging_steps=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=_no_tokenizer(),
            peft_config=LoraConfig(
                r=hyperparameters.rank,
                lora_alpha=hyperparameters.alpha,
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            ),
            callbacks=[clock],
        )
        theirs = dict(trainer.model.named_parameters())
        for name, tensor in start.items():
            theirs[name.replace(".weight", ".default.weight")].data.copy_(tensor)
        trainer.train()
    losses = [float(line["loss"]) for line in trainer.state.log_history if "loss" in line]
    return losses, clock.seconds


def _no_tokenizer() -> PreTrainedTokenizerFast:
    """TRL wants one for its padding token; the chats are tokens already."""
    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<pad>"))  # noqa: S106 - no password
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")  # noqa: S106
