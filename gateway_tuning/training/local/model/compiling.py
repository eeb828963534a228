"""When a GPU's kernels are compiled, and for which shapes. Imports torch: for the worker only."""

import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _triton

_FROM_OPERATIONS = 1e16
"""Floating-point operations of a run from which on the time to compile is earned back: a quarter of a minute, or two
million tokens of a model of a billion parameters."""


def compiling_pays(model: Any, tokens: float) -> bool:
    """Whether a run over so many tokens is long enough to compile first, on a device where that is possible."""
    possible = model.device.type == "cuda" and _triton.has_triton() and _has_c_compiler()
    return possible and 4.0 * model.num_parameters() * tokens > _FROM_OPERATIONS


def compile_for_any_length(function: Callable[..., Any], tensors: int) -> Callable[..., Any]:
    """One program for every length of the first dimension that the first so many arguments share."""
    compiled = torch.compile(function)

    def call(*arguments: Any) -> Any:
        for tensor in arguments[:tensors]:
            torch._dynamo.maybe_mark_dynamic(tensor, 0)  # noqa: SLF001 - PyTorch documents it under this name
        return compiled(*arguments)

    return call


def _has_c_compiler() -> bool:
    return any(shutil.which(name) for name in ("cc", "gcc", "clang"))
