"""LoRA tuning: one loop for every objective, for CPU and CUDA; the same bytes for the same inputs, resumable at any step.

Nothing random happens after the start: the batch of a step follows from the seed, there is no dropout, and a
checkpoint holds all state. Imports torch: for the worker only.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from statistics import fmean

import torch

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.training.local.data.batches import batch_indices
from gateway_tuning.training.local.data.examples import Example
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
from gateway_tuning.training.local.learning import checkpoints
from gateway_tuning.training.local.learning.checkpoints import Counters
from gateway_tuning.training.local.learning.learner import Learner, choose_device, make_learner
from gateway_tuning.training.local.learning.objective import Objective
from gateway_tuning.training.local.learning.reference import with_reference
from gateway_tuning.training.local.model import lora
from gateway_tuning.training.local.model.compiling import compiling_pays

_RECENT = 10
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Ending(StrEnum):
    FINISHED = "finished"
    STOPPED = "stopped"
    OUT_OF_TIME = "out of time"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of progress. The figures are the objective's; `validation` is None at steps without a look."""

    step: int
    of: int
    figures: dict[str, float]
    validation: dict[str, float] | None
    seconds: float

    @property
    def loss(self) -> float:
        return self.figures["loss"]

    @property
    def validation_loss(self) -> float | None:
        return None if self.validation is None else self.validation["loss"]


@dataclass(frozen=True, slots=True)
class Trained:
    """`parameters` are those with the best validation loss, or the last where there is no validation set."""

    ending: Ending
    parameters: lora.Parameters
    counters: Counters

    @property
    def train_loss(self) -> float:
        """Mean over the last steps."""
        return fmean(self.counters.recent_losses)

    @property
    def train_figures(self) -> dict[str, float]:
        """What the objective tells besides the loss, each a mean over those of the last steps that had it."""
        recent = self.counters.recent_figures
        names = sorted({name for figures in recent for name in figures})
        return {name: fmean(figures[name] for figures in recent if name in figures) for name in names}


@dataclass(slots=True)
class _Run:
    learner: Learner
    best: lora.Parameters
    counters: Counters = field(default_factory=Counters)


def train(
    weights: Path,
    examples: Sequence[Example],
    validation: Sequence[Example],
    objective: Objective,
    hyperparameters: LoraHyperparameters,
    *,
    seed: int,
    checkpoint_folder: Path,
    reference_file: Path,
    on_start: Callable[[int, int], None],
    on_step: Callable[[Step], None],
    should_stop: Callable[[], bool],
) -> Trained:
    """Train from the newest valid checkpoint, or from the start.

    `on_start` gets the steps already done and those of the whole run. When `should_stop` answers True, a
    checkpoint is written and the run ends as STOPPED. `reference_file` is written where the objective needs it.

    Raises:
        ConfigurationError: the run diverged, or the GPU's memory is too small; no adapter is made of it.
    """
    torch.use_deterministic_algorithms(mode=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # filling costs a tenth of the time on a CPU
    of = hyperparameters.steps(len(examples))
    tokens = of * hyperparameters.batch_size * sum(map(len, examples)) / len(examples)
    run = _start(weights, hyperparameters, seed, checkpoint_folder, tokens)
    counters, looked_at = run.counters, validation[: hyperparameters.validation_chats]
    on_start(counters.step, of)
    if objective.needs_reference:
        began = time.monotonic()
        referenced = with_reference(run.learner, [examples, looked_at], reference_file, should_stop)
        if referenced is None:
            return Trained(Ending.STOPPED, run.best or run.learner.parameters, counters)
        examples, looked_at = referenced
        counters.seconds += time.monotonic() - began
    ending = Ending.FINISHED
    while counters.step < of and not _gave_up(counters, hyperparameters):
        began = time.monotonic()
        chosen = batch_indices(len(examples), hyperparameters.batch_size, seed, counters.step)
        figures = objective.learn(
            run.learner, [examples[i] for i in chosen], hyperparameters.rate(counters.step, of)
        )
        _count(counters, figures, sum(len(examples[i]) for i in chosen))
        seen = None
        if looked_at and (counters.step % hyperparameters.evaluate_every == 0 or counters.step == of):
            seen = objective.look(run.learner, looked_at)
            _note_validation(run, seen)
        counters.seconds += time.monotonic() - began
        stopping = should_stop()
        if stopping or counters.step % hyperparameters.checkpoint_every == 0:
            _save(run, checkpoint_folder)
        on_step(Step(counters.step, of, figures, seen, counters.seconds))
        if stopping:
            ending = Ending.STOPPED
            break
        if counters.seconds > hyperparameters.max_training_seconds and counters.step < of:
            ending = Ending.OUT_OF_TIME
            break
    return Trained(ending, run.best or run.learner.parameters, counters)


def _start(
    weights: Path, hyperparameters: LoraHyperparameters, seed: int, folder: Path, tokens: float
) -> _Run:
    model = lora.load_base(weights, choose_device(hyperparameters.device))
    learner = make_learner(model, hyperparameters, seed, compiled=compiling_pays(model, tokens))
    run = _Run(learner, best={})
    found = checkpoints.load_newest(folder)
    if found is not None:
        _restore(run, *found)
    return run


def _count(counters: Counters, figures: dict[str, float], tokens: int) -> None:
    counters.step += 1
    counters.tokens += tokens
    counters.recent_losses = (*counters.recent_losses, figures["loss"])[-_RECENT:]
    counters.recent_figures = (*counters.recent_figures, without_loss(figures))[-_RECENT:]


def without_loss(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if name != "loss"}


def _note_validation(run: _Run, figures: dict[str, float]) -> None:
    counters, loss = run.counters, figures["loss"]
    if not math.isfinite(loss):  # neither better nor worse than another
        raise ConfigurationError(
            f"The validation loss is {loss} after step {counters.step}; lower the learning rate, or look for examples "
            "out of the ordinary"
        )
    if counters.best_validation_loss is None or loss < counters.best_validation_loss:
        counters.best_validation_loss, counters.looks_without_gain = loss, 0
        counters.best_validation = without_loss(figures)
        run.best = {name: tensor.detach().clone() for name, tensor in run.learner.parameters.items()}
    else:
        counters.looks_without_gain += 1


def _gave_up(counters: Counters, hyperparameters: LoraHyperparameters) -> bool:
    return counters.looks_without_gain >= hyperparameters.early_stopping_patience


def _save(run: _Run, folder: Path) -> None:
    parameters, optimizer = run.learner.parameters, run.learner.optimizer
    tensors = {f"now/{name}": tensor for name, tensor in parameters.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in run.best.items()}
    for name, parameter in parameters.items():
        tensors |= {f"{part}/{name}": optimizer.state[parameter][part] for part in _MOMENTS}
    checkpoints.save(folder, tensors, run.counters)


def _restore(run: _Run, tensors: dict[str, torch.Tensor], counters: Counters) -> None:
    run.counters = counters
    for name, parameter in run.learner.parameters.items():
        parameter.data.copy_(tensors[f"now/{name}"])
        # The fused optimizer counts its steps on the device.
        moments = {part: tensors[f"{part}/{name}"].to(parameter.device) for part in _MOMENTS}
        run.learner.optimizer.state[parameter] = moments
        if f"best/{name}" in tensors:
            run.best[name] = tensors[f"best/{name}"].to(parameter.device)
