"""One optimizer step over packed chats, on a CPU or a GPU. Imports torch: for the worker only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.training.local import lora
from gateway_tuning.training.local.attention import documents, on_device
from gateway_tuning.training.local.batches import TokenizedChat, pack, passes
from gateway_tuning.training.local.compiling import compile_for_any_length
from gateway_tuning.training.local.decoder import Decoder, take_apart
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
from gateway_tuning.training.local.loss import Slope, loss_and_slope, summed_loss


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
        compile_for_any_length(loss_and_slope, 2) if compiled else loss_and_slope,
        hyperparameters.tokens_per_pass,
        hyperparameters.max_gradient_norm,
    )


def learn(learner: Learner, chats: Sequence[TokenizedChat], rate: float) -> float:
    """One step; the mean loss over all answer tokens of these chats before it.

    Gradients of the passes add up to those of one pass over all chats.

    Raises:
        ConfigurationError: the GPU's memory does not hold a pass.
    """
    total = torch.zeros((), device=learner.device)
    answers = _answer_tokens(chats)
    learner.decoder.refresh()
    try:
        for part in passes(chats, learner.tokens_per_pass):
            loss = _loss(learner, part) / answers
            loss.backward()
            total += loss.detach()
    except torch.OutOfMemoryError as error:
        longest = max(map(len, chats))
        raise ConfigurationError(
            f"The GPU's memory does not hold a pass of {learner.tokens_per_pass} tokens (longest chat: {longest}); "
            "lower tokens_per_pass, or max_tokens if that is the greater"
        ) from error
    torch.nn.utils.clip_grad_norm_(list(learner.parameters.values()), learner.max_gradient_norm)
    learner.optimizer.param_groups[0]["lr"] = rate
    learner.optimizer.step()
    learner.optimizer.zero_grad()
    return float(total)


def mean_loss(learner: Learner, chats: Sequence[TokenizedChat]) -> float:
    """Mean over all answer tokens of these chats, without learning from them."""
    learner.decoder.refresh()
    with torch.no_grad():
        total = sum(float(_loss(learner, part)) for part in passes(chats, learner.tokens_per_pass))
    return total / _answer_tokens(chats)


def _loss(learner: Learner, chats: Sequence[TokenizedChat]) -> torch.Tensor:
    """Summed. Only the positions of answers go through the output layer, the widest of all."""
    packed, device = pack(chats), learner.device
    within = documents(packed.starts, on_device(packed.starts, device))
    hidden = learner.decoder.hidden(on_device(packed.inputs, device), within)
    wanted = hidden[on_device(packed.places, device)]
    return summed_loss(wanted, learner.decoder.head, on_device(packed.targets, device), learner.slope)


def _answer_tokens(chats: Sequence[TokenizedChat]) -> int:
    return sum(len(chat) - chat.answer_start for chat in chats)
