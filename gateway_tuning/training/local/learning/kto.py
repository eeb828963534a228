"""Kahneman-Tversky optimization: desirable answers are made likelier and undesirable ones less, measured from the base.

Ethayarajh et al., 2024 (arXiv:2402.01306), equations 7 and 8, as in TRL's KTOTrainer. Imports torch: for the worker
only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gateway_tuning.training.local.data.examples import Example
from gateway_tuning.training.local.learning.learner import Learner, descend, look
from gateway_tuning.training.local.learning.reference import log_ratios

_ANSWER, _MISMATCHED = slice(0, 1), slice(1, 2)


@dataclass(frozen=True, slots=True)
class Kto:
    beta: float
    desirable_weight: float
    undesirable_weight: float
    needs_reference: bool = True

    def learn(self, learner: Learner, examples: Sequence[Example], rate: float) -> dict[str, float]:
        divergence = self._divergence(learner, examples)
        ratios: list[torch.Tensor] = []

        def loss(part: Sequence[Example]) -> torch.Tensor:
            found = log_ratios(learner, part, _ANSWER)[:, 0]
            ratios.append(found.detach())
            return self.losses(found, _labels(part, learner.device), divergence).sum() / len(examples)

        descend(learner, examples, rate, loss)
        return self._figures(torch.cat(ratios), _labels(examples, learner.device), divergence)

    def look(self, learner: Learner, examples: Sequence[Example]) -> dict[str, float]:
        divergence = self._divergence(learner, examples)
        ratios = look(learner, examples, lambda part: log_ratios(learner, part, _ANSWER)[:, 0])
        return self._figures(torch.cat(ratios), _labels(examples, learner.device), divergence)

    def losses(
        self, ratios: torch.Tensor, is_desirable: torch.Tensor, divergence: torch.Tensor
    ) -> torch.Tensor:
        """Of each answer, from its log ratio.

        w_d (1 - sigmoid(beta (ratio - divergence))) where it is desirable, w_u (1 - sigmoid(beta (divergence - ratio)))
        where it is not.
        """
        above = self.beta * (ratios - divergence)
        return torch.where(
            is_desirable,
            self.desirable_weight * (1 - torch.sigmoid(above)),
            self.undesirable_weight * (1 - torch.sigmoid(-above)),
        )

    def _divergence(self, learner: Learner, examples: Sequence[Example]) -> torch.Tensor:
        """The policy's from the reference, estimated over prompts with answers to others; it takes no gradient.

        TRL estimates it over each device's batch, this over all examples of the step.
        """
        ratios = look(learner, examples, lambda part: log_ratios(learner, part, _MISMATCHED))
        return torch.cat(ratios).mean().clamp(min=0)

    def _figures(
        self, ratios: torch.Tensor, is_desirable: torch.Tensor, divergence: torch.Tensor
    ) -> dict[str, float]:
        """A reward is beta times an answer's log ratio; chosen are the desirable ones, rejected the others.

        `reward_accuracy` is the share of all pairs of a chosen and a rejected one with the chosen one ahead.
        """
        rewards = self.beta * ratios
        chosen, rejected = rewards[is_desirable], rewards[~is_desirable]
        figures = {
            "loss": float(self.losses(ratios, is_desirable, divergence).mean()),
            "divergence": float(divergence),
        }
        if len(chosen):
            figures["reward_chosen"] = float(chosen.mean())
        if len(rejected):
            figures["reward_rejected"] = float(rejected.mean())
        if len(chosen) and len(rejected):
            figures["reward_margin"] = figures["reward_chosen"] - figures["reward_rejected"]
            figures["reward_accuracy"] = float((chosen[:, None] > rejected).float().mean())
        return figures


def _labels(examples: Sequence[Example], device: torch.device) -> torch.Tensor:
    return torch.tensor([bool(example.desirable) for example in examples], device=device)
