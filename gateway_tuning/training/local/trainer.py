"""Supervised LoRA tuning: one loop for CPU and CUDA, the same bytes for the same inputs, resumable at any step.

Nothing random happens after the start: the batch of a step follows from the seed, there is no dropout, and a
checkpoint holds all state. Imports torch: for the worker only.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from gateway_tuning.training.local import checkpoints, lora
from gateway_tuning.training.local.batches import Batch, TokenizedChat, batch_indices, collate
from gateway_tuning.training.local.checkpoints import Counters
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters

_RECENT = 10


class Ending(StrEnum):
    FINISHED = "finished"
    STOPPED = "stopped"
    OUT_OF_TIME = "out of time"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of progress. `validation_loss` is None at steps without a look."""

    step: int
    of: int
    loss: float
    validation_loss: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Trained:
    """`parameters` are those with the best validation loss, or the last where there is no validation set."""

    ending: Ending
    parameters: lora.Parameters
    counters: Counters

    @property
    def train_loss(self) -> float:
        """Mean over the last steps."""
        return sum(self.counters.recent_losses) / len(self.counters.recent_losses)


@dataclass(slots=True)
class _Run:
    model: Any
    parameters: lora.Parameters
    optimizer: torch.optim.AdamW
    best: lora.Parameters
    counters: Counters = field(default_factory=Counters)


def train(
    weights: Path,
    examples: Sequence[TokenizedChat],
    validation: Sequence[TokenizedChat],
    hyperparameters: LoraHyperparameters,
    *,
    seed: int,
    checkpoint_folder: Path,
    on_start: Callable[[int, int], None],
    on_step: Callable[[Step], None],
    should_stop: Callable[[], bool],
) -> Trained:
    """Train from the newest valid checkpoint, or from the start.

    `on_start` gets the steps already done and those of the whole run. When `should_stop` answers True, a
    checkpoint is written and the run ends as STOPPED.
    """
    torch.use_deterministic_algorithms(mode=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # filling costs a tenth of the time on a CPU
    run = _start(weights, hyperparameters, seed, checkpoint_folder)
    counters, of = run.counters, hyperparameters.steps(len(examples))
    lengths = [len(chat) for chat in examples]
    looked_at = sorted(validation[: hyperparameters.validation_chats], key=len)
    on_start(counters.step, of)
    ending = Ending.FINISHED
    while counters.step < of and not _gave_up(counters, hyperparameters):
        began = time.monotonic()
        chosen = batch_indices(lengths, hyperparameters.batch_size, seed, counters.step)
        rate = hyperparameters.rate(counters.step, of)
        loss = _step(run, collate([examples[i] for i in chosen]), rate, hyperparameters.max_gradient_norm)
        validation_loss = None
        if looked_at and (counters.step % hyperparameters.evaluate_every == 0 or counters.step == of):
            validation_loss = _validation_loss(run.model, looked_at, hyperparameters.batch_size)
            _note_validation(run, validation_loss)
        counters.seconds += time.monotonic() - began
        stopping = should_stop()
        if stopping or counters.step % hyperparameters.checkpoint_every == 0:
            _save(run, checkpoint_folder)
        on_step(Step(counters.step, of, loss, validation_loss, counters.seconds))
        if stopping:
            ending = Ending.STOPPED
            break
        if counters.seconds > hyperparameters.max_training_seconds and counters.step < of:
            ending = Ending.OUT_OF_TIME
            break
    return Trained(ending, run.best or run.parameters, counters)


def _start(weights: Path, hyperparameters: LoraHyperparameters, seed: int, folder: Path) -> _Run:
    model = lora.load_base(weights, "cuda" if torch.cuda.is_available() else "cpu")
    parameters = lora.attach(model, hyperparameters, seed)
    optimizer = torch.optim.AdamW(
        list(parameters.values()), lr=hyperparameters.learning_rate, weight_decay=0.0
    )
    run = _Run(model, parameters, optimizer, best={})
    found = checkpoints.load_newest(folder)
    if found is not None:
        _restore(run, *found)
    return run


def _step(run: _Run, batch: Batch, rate: float, max_gradient_norm: float) -> float:
    loss = _loss(run.model, batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(run.parameters.values()), max_gradient_norm)
    run.optimizer.param_groups[0]["lr"] = rate
    run.optimizer.step()
    run.optimizer.zero_grad()
    value = float(loss.detach())
    counters = run.counters
    counters.step += 1
    counters.tokens += batch.tokens
    counters.recent_losses = (*counters.recent_losses, value)[-_RECENT:]
    return value


def _loss(model: Any, batch: Batch) -> torch.Tensor:
    """Mean over the answers' tokens. Only their positions go through the output layer, the widest of all."""
    device = model.device
    hidden = model.model(
        input_ids=torch.tensor(batch.inputs, device=device), use_cache=False
    ).last_hidden_state
    width = hidden.shape[1]
    flat = [row * width + column for row, column in zip(batch.rows, batch.columns, strict=True)]
    wanted = hidden.flatten(0, 1).index_select(0, torch.tensor(flat, device=device))
    return cross_entropy(model.lm_head(wanted).float(), torch.tensor(batch.targets, device=device))


def _validation_loss(model: Any, chats: Sequence[TokenizedChat], batch_size: int) -> float:
    """Mean over all answer tokens of these chats."""
    total, tokens = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(chats), batch_size):
            batch = collate(chats[start : start + batch_size])
            total += float(_loss(model, batch)) * len(batch.targets)
            tokens += len(batch.targets)
    return total / tokens


def _note_validation(run: _Run, loss: float) -> None:
    counters = run.counters
    if counters.best_validation_loss is None or loss < counters.best_validation_loss:
        counters.best_validation_loss, counters.looks_without_gain = loss, 0
        run.best = {name: tensor.detach().clone() for name, tensor in run.parameters.items()}
    else:
        counters.looks_without_gain += 1


def _gave_up(counters: Counters, hyperparameters: LoraHyperparameters) -> bool:
    return counters.looks_without_gain >= hyperparameters.early_stopping_patience


def _save(run: _Run, folder: Path) -> None:
    tensors = {f"now/{name}": tensor for name, tensor in run.parameters.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in run.best.items()}
    for name, parameter in run.parameters.items():
        state = run.optimizer.state[parameter]
        tensors |= {f"{part}/{name}": state[part] for part in ("exp_avg", "exp_avg_sq", "step")}
    checkpoints.save(folder, tensors, run.counters)


def _restore(run: _Run, tensors: dict[str, torch.Tensor], counters: Counters) -> None:
    run.counters = counters
    for name, parameter in run.parameters.items():
        parameter.data.copy_(tensors[f"now/{name}"])
        moments = {part: tensors[f"{part}/{name}"].to(parameter.device) for part in ("exp_avg", "exp_avg_sq")}
        run.optimizer.state[parameter] = {**moments, "step": tensors[f"step/{name}"]}
        if f"best/{name}" in tensors:
            run.best[name] = tensors[f"best/{name}"].to(parameter.device)
