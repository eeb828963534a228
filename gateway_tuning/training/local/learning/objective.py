"""What the steps of a run make smaller. Imports torch: for the worker only."""

from collections.abc import Sequence
from typing import Protocol

from gateway_tuning.training.local.data.examples import Example
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
from gateway_tuning.training.local.learning.dpo import Dpo
from gateway_tuning.training.local.learning.kto import Kto
from gateway_tuning.training.local.learning.learner import Learner
from gateway_tuning.training.local.learning.supervised import Supervised


class Objective(Protocol):
    """Both methods give figures by name, of the model before the step; `loss` is among them.

    A figure that these examples do not determine is left out.
    """

    @property
    def needs_reference(self) -> bool: ...

    def learn(self, learner: Learner, examples: Sequence[Example], rate: float) -> dict[str, float]: ...

    def look(self, learner: Learner, examples: Sequence[Example]) -> dict[str, float]:
        """Learns nothing."""


def objective_of(method: str, hyperparameters: LoraHyperparameters) -> Objective:
    if method == "dpo":
        return Dpo(hyperparameters.beta, hyperparameters.label_smoothing)
    if method == "kto":
        return Kto(hyperparameters.beta, hyperparameters.desirable_weight, hyperparameters.undesirable_weight)
    return Supervised()
