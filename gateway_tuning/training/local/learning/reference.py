"""Log-probabilities under the reference model: the base itself, whose adapter is left out, so there is no second copy.

They are computed once, before the first step, and kept in a file of the job, so that a resumed job trains against the
same numbers. Imports torch: for the worker only.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from gateway_tuning.training.local.data.examples import Example
from gateway_tuning.training.local.learning.learner import Learner, log_probabilities, look


def with_reference(
    learner: Learner, sets: Sequence[Sequence[Example]], kept: Path, should_stop: Callable[[], bool]
) -> list[list[Example]] | None:
    """The sets, each example with its reference; None when `should_stop` answered True before the end."""
    numbers = _read(kept)
    if numbers is None or not _fits(numbers, sets):
        numbers = []
        for examples in sets:
            found = _computed(learner, examples, should_stop)
            if found is None:
                return None
            numbers.append(found)
        partial = kept.with_name(kept.name + ".partial")
        partial.write_text(json.dumps(numbers))
        partial.replace(kept)
    return [
        [replace(example, reference=tuple(given)) for example, given in zip(examples, found, strict=True)]
        for examples, found in zip(sets, numbers, strict=True)
    ]


def log_ratios(learner: Learner, examples: Sequence[Example], chat: slice = slice(None)) -> torch.Tensor:
    """Log p(answer) - log p_reference(answer) of the chats of each example, (examples, chats)."""
    chats = [one for example in examples for one in example.chats[chat]]
    reference = torch.tensor([example.reference[chat] for example in examples], device=learner.device)
    return log_probabilities(learner, chats).view(len(examples), -1) - reference


def _computed(
    learner: Learner, examples: Sequence[Example], should_stop: Callable[[], bool]
) -> list[list[float]] | None:
    """A few passes at a time, so that a wish to stop is seen."""
    found: list[list[float]] = []

    def of_pass(part: Sequence[Example]) -> torch.Tensor:
        chats = [chat for example in part for chat in example.chats]
        return log_probabilities(learner, chats).view(len(part), -1)

    stride = 32
    for start in range(0, len(examples), stride):
        if should_stop():
            return None
        for part in look(learner, examples[start : start + stride], of_pass, adapted=False):
            found.extend(part.tolist())
    return found


def _read(kept: Path) -> list[list[list[float]]] | None:
    try:
        numbers: list[list[list[float]]] = json.loads(kept.read_text())
    except (FileNotFoundError, ValueError):  # none yet, or half a file after a power cut
        return None
    return numbers


def _fits(numbers: Sequence[Sequence[Sequence[float]]], sets: Sequence[Sequence[Example]]) -> bool:
    wanted = [[len(example.chats) for example in examples] for examples in sets]
    return wanted == [[len(given) for given in found] for found in numbers]
