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


def token_losses(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, slope: "Slope | None" = None
) -> torch.Tensor:
    """Of each row of `hidden` (rows, width), in float32; `slope` is `losses_and_slope` or its compiled form."""
    losses: torch.Tensor = _TokenLosses.apply(hidden, head, targets, slope or losses_and_slope)
    return losses


def losses_and_slope(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row's loss, and its gradient by the row's logits in their own precision."""
    wide = logits.float()
    normalizer = wide.logsumexp(1, keepdim=True)
    chosen = targets[:, None]
    losses = (normalizer - wide.gather(1, chosen))[:, 0]
    is_chosen = torch.arange(logits.shape[1], device=logits.device) == chosen
    return losses, ((wide - normalizer).exp() - is_chosen.to(wide.dtype)).to(logits.dtype)


class _TokenLosses(torch.autograd.Function):  # type: ignore[misc] # torch is not followed by mypy here
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, slope: Slope
    ) -> torch.Tensor:
        rows = max(1, _ELEMENTS.get(hidden.device.type, _ELEMENTS["cpu"]) // head.shape[0])
        losses = torch.empty(len(hidden), device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            losses[part], by_logits = slope(hidden[part] @ head.T, targets[part])
            if ctx.needs_input_grad[0]:
                gradient[part] = by_logits @ head
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, by_loss: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        # Multiplied in float32, kept in the precision of the states without a wide copy between.
        by_hidden = torch.mul(gradient, by_loss[:, None], out=torch.empty_like(gradient))
        return by_hidden, None, None, None
