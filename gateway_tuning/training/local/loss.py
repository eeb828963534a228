"""Cross entropy from hidden states without the logits of all positions at once.

Logits of a large vocabulary would be the largest tensor of a run. Here the output layer is applied to some rows at
a time, and the gradient of these rows is taken at once: the layer is frozen, so nothing else is needed later.
Imports torch: for the worker only.
"""

from collections.abc import Callable
from typing import Any

import torch

_ELEMENTS = {"cpu": 1 << 25, "cuda": 1 << 29}  # logits held at a time

Slope = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def summed_loss(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, slope: "Slope | None" = None
) -> torch.Tensor:
    """Sum over the rows of `hidden` (rows, width); `slope` is `loss_and_slope` or its compiled form."""
    total: torch.Tensor = _SummedLoss.apply(hidden, head, targets, slope or loss_and_slope)
    return total


def loss_and_slope(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The summed loss, and its gradient by the logits in their own precision."""
    wide = logits.float()
    normalizer = wide.logsumexp(1, keepdim=True)
    chosen = targets[:, None]
    loss = (normalizer - wide.gather(1, chosen)).sum()
    is_chosen = torch.arange(logits.shape[1], device=logits.device) == chosen
    return loss, ((wide - normalizer).exp() - is_chosen.to(wide.dtype)).to(logits.dtype)


class _SummedLoss(torch.autograd.Function):  # type: ignore[misc] # torch is not followed by mypy here
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, slope: Slope
    ) -> torch.Tensor:
        rows = max(1, _ELEMENTS.get(hidden.device.type, _ELEMENTS["cpu"]) // head.shape[0])
        total = torch.zeros((), device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            loss, by_logits = slope(hidden[part] @ head.T, targets[part])
            total += loss
            if ctx.needs_input_grad[0]:
                gradient[part] = by_logits @ head
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, by_total: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * by_total, None, None, None
