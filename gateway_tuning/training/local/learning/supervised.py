"""Learning answers from chats. Imports torch: for the worker only."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway_tuning.training.local.data.batches import TokenizedChat
from gateway_tuning.training.local.data.examples import Example
from gateway_tuning.training.local.learning.learner import Learner, answer_losses, descend, look


@dataclass(frozen=True, slots=True)
class Supervised:
    needs_reference: bool = False

    def learn(self, learner: Learner, examples: Sequence[Example], rate: float) -> dict[str, float]:
        return {"loss": learn(learner, _chats(examples), rate)}

    def look(self, learner: Learner, examples: Sequence[Example]) -> dict[str, float]:
        return {"loss": mean_loss(learner, _chats(examples))}


def learn(learner: Learner, chats: Sequence[TokenizedChat], rate: float) -> float:
    """One step; the mean loss over all answer tokens of these chats before it.

    Gradients of the passes add up to those of one pass over all chats.
    """
    answers = _answer_tokens(chats)
    return descend(learner, chats, rate, lambda part: answer_losses(learner, part).sum() / answers)


def mean_loss(learner: Learner, chats: Sequence[TokenizedChat]) -> float:
    """Mean over all answer tokens of these chats, without learning from them."""
    sums = look(learner, chats, lambda part: answer_losses(learner, part).sum())
    return sum(map(float, sums)) / _answer_tokens(chats)


def _chats(examples: Sequence[Example]) -> list[TokenizedChat]:
    return [example.chats[0] for example in examples]


def _answer_tokens(chats: Sequence[TokenizedChat]) -> int:
    return sum(chat.answer_tokens for chat in chats)
