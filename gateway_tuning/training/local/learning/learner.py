"""Passes over packed chats and steps of the optimizer, on a CPU or a GPU. Imports torch: for the worker only."""

import math
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.training.local.data.batches import SizedExample, TokenizedChat, pack, passes
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
from gateway_tuning.training.local.model import lora
from gateway_tuning.training.local.model.attention import documents, on_device
from gateway_tuning.training.local.model.compiling import compile_for_any_length
from gateway_tuning.training.local.model.decoder import Decoder, take_apart
from gateway_tuning.training.local.model.loss import Slope, losses_and_slope, token_losses


@dataclass(frozen=True, slots=True)
class Learner:
    decoder: Decoder
    parameters: lora.Parameters
    optimizer: torch.optim.AdamW
    slope: Slope
    tokens_per_pass: int
    max_gradient_norm: float

    @property
    def device(self) -> torch.device:
        return self.decoder.head.device


def choose_device(wanted: str) -> str:
    """`cpu` or `cuda`.

    Raises:
        ConfigurationError: `cuda` is asked for where PyTorch sees no GPU.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigurationError(
            "The hyperparameter device is cuda, but PyTorch sees no GPU here; set device to auto or cpu, or install a "
            "CUDA build of PyTorch and its driver"
        )
    return wanted if wanted != "auto" else "cuda" if available else "cpu"


def make_learner(model: Any, hyperparameters: LoraHyperparameters, seed: int, *, compiled: bool) -> Learner:
    """A learner with a fresh adapter; `model` is a transformers Llama, frozen, and is taken apart."""
    parameters = lora.attach(model, hyperparameters, seed)
    scale = hyperparameters.alpha / hyperparameters.rank
    return Learner(
        take_apart(model, parameters, scale, compiled=compiled),
        parameters,
        torch.optim.AdamW(
            list(parameters.values()), lr=hyperparameters.learning_rate, weight_decay=0.0, fused=True
        ),
        compile_for_any_length(losses_and_slope, 2) if compiled else losses_and_slope,
        hyperparameters.tokens_per_pass,
        hyperparameters.max_gradient_norm,
    )


def descend(
    learner: Learner,
    examples: Sequence[SizedExample],
    rate: float,
    loss_of: Callable[[Sequence[SizedExample]], torch.Tensor],
) -> float:
    """One step down the sum of `loss_of` over passes; that sum before the step.

    Raises:
        ConfigurationError: the GPU's memory does not hold a pass; or the loss or its gradient is no longer a finite
            number, and the parameters are lost.
    """
    total = torch.zeros((), device=learner.device)
    learner.decoder.refresh()
    with _told_when_memory_is_short(learner, examples):
        for part in passes(examples, learner.tokens_per_pass):
            loss = loss_of(part)
            loss.backward()
            total += loss.detach()
    norm = torch.nn.utils.clip_grad_norm_(list(learner.parameters.values()), learner.max_gradient_norm)
    learner.optimizer.param_groups[0]["lr"] = rate
    learner.optimizer.step()
    learner.optimizer.zero_grad()
    # Read after the step, so that the device is waited for once.
    before, slope = torch.stack((total, norm.to(total.dtype))).tolist()
    if not (math.isfinite(before) and math.isfinite(slope)):
        raise ConfigurationError(
            f"The training diverged: its loss is {before} and its gradient's norm {slope}; lower the learning rate, or "
            "look for examples out of the ordinary"
        )
    return float(before)


def look(
    learner: Learner,
    examples: Sequence[SizedExample],
    seen: Callable[[Sequence[SizedExample]], torch.Tensor],
    *,
    adapted: bool = True,
) -> list[torch.Tensor]:
    """What `seen` gives for each pass, without learning from it; `adapted` False: of the base model alone.

    Raises:
        ConfigurationError: the GPU's memory does not hold a pass.
    """
    learner.decoder.refresh(adapted=adapted)
    with torch.no_grad(), _told_when_memory_is_short(learner, examples):
        return [seen(part) for part in passes(examples, learner.tokens_per_pass)]


@contextmanager
def _told_when_memory_is_short(learner: Learner, examples: Sequence[Sized]) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        longest = max(map(len, examples))
        raise ConfigurationError(
            f"The GPU's memory does not hold a pass of {learner.tokens_per_pass} tokens (longest example: {longest}); "
            "lower tokens_per_pass, or max_tokens if that is the greater"
        ) from error


def answer_losses(learner: Learner, chats: Sequence[TokenizedChat]) -> torch.Tensor:
    """Cross entropy of each answer token, chat after chat. Only answers go through the output layer, the widest."""
    packed, device = pack(chats), learner.device
    within = documents(packed.starts, on_device(packed.starts, device))
    hidden = learner.decoder.hidden(on_device(packed.inputs, device), within)
    wanted = hidden[on_device(packed.places, device)]
    return token_losses(wanted, learner.decoder.head, on_device(packed.targets, device), learner.slope)


def log_probabilities(learner: Learner, chats: Sequence[TokenizedChat]) -> torch.Tensor:
    """Of each whole answer after its prompt, in nats."""
    chat_of_token = [index for index, chat in enumerate(chats) for _ in range(chat.answer_tokens)]
    sums = torch.zeros(len(chats), device=learner.device)
    return sums.index_add(0, on_device(chat_of_token, learner.device), -answer_losses(learner, chats))
