"""Linear layers with LoRA as one product: the scaled B stands beside the frozen weight, A's output beside the input.

Adding the adapter's output to the layer's would round the sum once more: in bfloat16, early steps, far smaller than
a last digit, would be lost again and again. It would also read and write the widest activations a second time.
Imports torch: for the worker only.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch


class Adapted(NamedTuple):
    """Layers of one input, stacked.

    `weight` has the shape (outputs, inputs + ranks): its last columns are the layers' scaled B as a block diagonal,
    brought up to date by `refresh`. `a` and `b` are each layer's own parameters.
    """

    weight: torch.Tensor
    a: tuple[torch.Tensor, ...]
    b: tuple[torch.Tensor, ...]


def stack(weights: Sequence[torch.Tensor], a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> Adapted:
    """`refresh` it before its first use."""
    frozen = torch.cat(list(weights))
    room = frozen.new_zeros(len(frozen), sum(map(len, a)))
    return Adapted(torch.cat([frozen, room], dim=1), tuple(a), tuple(b))


def refresh(layers: Adapted, scale: float) -> None:
    """To be called whenever B has changed."""
    with torch.no_grad():
        row, column = 0, layers.a[0].shape[1]
        for b in layers.b:
            outputs, rank = b.shape
            layers.weight[row : row + outputs, column : column + rank] = b * scale
            row, column = row + outputs, column + rank


def apply(x: torch.Tensor, layers: Adapted, scale: float) -> torch.Tensor:
    """(tokens, inputs) to (tokens, outputs of all layers)."""
    a = torch.cat(layers.a).to(x.dtype)
    b = (torch.block_diag(*layers.b) * scale).to(x.dtype)  # stands in `weight` already; here for its gradient
    product: torch.Tensor = _Product.apply(x, a, b, layers.weight)
    return product


class _Product(torch.autograd.Function):  # type: ignore[misc] # torch is not followed by mypy here
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, a: torch.Tensor, _b: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        wide = torch.cat([x, x @ a.T], dim=1)
        ctx.save_for_backward(wide, a, weight)
        return wide @ weight.T

    @staticmethod
    def backward(ctx: Any, by_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        wide, a, weight = ctx.saved_tensors
        inputs = a.shape[1]
        by_wide = by_output @ weight
        by_inner = by_wide[:, inputs:]
        # In float32, or the compiler would make it a product that copies its summand first.
        by_x = (by_wide[:, :inputs].float() + (by_inner @ a).float()).to(wide.dtype)
        return by_x, by_inner.T @ wide[:, :inputs], by_output.T @ wide[:, inputs:], None
