"""Direct preference optimization: the chosen answer is made likelier than the rejected one, measured from the base.

Rafailov et al., 2023 (arXiv:2305.18290), equation 7, TRL's loss type `sigmoid`; label smoothing as in "A note on DPO
with noisy preferences & relationship to IPO" (Mitchell, 2023). Imports torch: for the worker only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

from gateway_tuning.training.local.data.examples import Example
from gateway_tuning.training.local.learning.learner import Learner, descend, look
from gateway_tuning.training.local.learning.reference import log_ratios


@dataclass(frozen=True, slots=True)
class Dpo:
    beta: float
    label_smoothing: float
    needs_reference: bool = True

    def learn(self, learner: Learner, examples: Sequence[Example], rate: float) -> dict[str, float]:
        ratios: list[torch.Tensor] = []

        def loss(part: Sequence[Example]) -> torch.Tensor:
            found = log_ratios(learner, part)
            ratios.append(found.detach())
            return self.losses(found).sum() / len(examples)

        descend(learner, examples, rate, loss)
        return self._figures(torch.cat(ratios))

    def look(self, learner: Learner, examples: Sequence[Example]) -> dict[str, float]:
        return self._figures(torch.cat(look(learner, examples, lambda part: log_ratios(learner, part))))

    def losses(self, ratios: torch.Tensor) -> torch.Tensor:
        """Of each pair, from the log ratios (pairs, 2) of its chosen and its rejected answer.

        -(1 - s) log sigmoid(d) - s log sigmoid(-d), with d = beta (ratio of chosen - ratio of rejected): s is the
        share of pairs that are taken to be labelled the wrong way round.
        """
        margins = self.beta * (ratios[:, 0] - ratios[:, 1])
        return -(1 - self.label_smoothing) * logsigmoid(margins) - self.label_smoothing * logsigmoid(-margins)

    def _figures(self, ratios: torch.Tensor) -> dict[str, float]:
        """A reward is beta times an answer's log ratio; accuracy, the share of pairs with the chosen one ahead."""
        chosen, rejected = (self.beta * ratios).unbind(1)
        return {
            "loss": float(self.losses(ratios).mean()),
            "reward_chosen": float(chosen.mean()),
            "reward_rejected": float(rejected.mean()),
            "reward_margin": float((chosen - rejected).mean()),
            "reward_accuracy": float((chosen > rejected).float().mean()),
        }
