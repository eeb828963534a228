"""How often a job goes through its data, by the hyperparameters of its provider. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError

from gateway_tuning.training.local.hyperparameters import LoraHyperparameters

_NAMES = ("n_epochs", "epochs", "epochCount", "epoch_count")

# OpenAI's own choice for "auto" is not told; this is the rule of its cookbook, "Data preparation and analysis for chat
# model fine-tuning": three epochs, more for fewer than 100 examples in all, fewer for more than 25,000.
_AUTO, _FEWEST_SEEN, _MOST_SEEN, _MOST = 3, 100, 25_000, 25

# Where nothing is said: docs.together.ai/reference/post-fine-tunes, and the tables of
# docs.aws.amazon.com/bedrock/latest/userguide/custom-models-hp.html.
_DEFAULTS = {"together": 1}
_BEDROCK = {"amazon.nova-": 2, "meta.llama": 5, "anthropic.claude-3-haiku": 2}


@dataclass(frozen=True, slots=True)
class Passes:
    """`through_training` is None where it cannot be told. `is_set` is false where the provider may choose another.

    `through_validation`: looks at the validation file that are charged for like training.
    """

    through_training: Decimal | None
    is_set: bool
    told: str
    through_validation: int = 0


def passes(provider: str, base_model: str, hyperparameters: Mapping[str, Any], *, examples: int) -> Passes:
    if provider == "llama":
        return _local(hyperparameters, examples)
    looks = _count(hyperparameters.get("n_evals", 0)) if provider == "together" else Decimal(0)
    given = next((hyperparameters[name] for name in _NAMES if hyperparameters.get(name) is not None), None)
    is_given = given is not None and given != "auto"
    epochs = _count(given) if is_given else None
    if looks is None or (is_given and not epochs):
        wrong = f"n_evals={hyperparameters['n_evals']}" if looks is None else f"{given} epochs"
        return Passes(None, is_set=False, told=f"{wrong} cannot be; set a number above 0")
    if epochs:
        return Passes(epochs, is_set=True, told=f"{given} epochs", through_validation=int(looks))
    if provider == "openai":
        chosen = _auto(examples)
        return Passes(
            Decimal(chosen),
            is_set=False,
            told=f"{chosen} epochs by OpenAI's cookbook; set n_epochs to be sure",
        )
    default = _DEFAULTS.get(provider)
    if provider == "bedrock":
        default = next((epochs for word, epochs in _BEDROCK.items() if word in base_model), None)
    if default is None:
        return Passes(
            None, is_set=False, told=f"{provider} chooses how often it goes through the data; set epochs"
        )
    return Passes(
        Decimal(default), is_set=True, told=f"{default} epochs, its default", through_validation=int(looks)
    )


def _count(given: Any) -> Decimal | None:
    """None for what no provider can take. Some want their numbers as text."""
    try:
        count = Decimal(str(given))
    except InvalidOperation:
        return None
    return count if count.is_finite() and count >= 0 else None


def _auto(examples: int) -> int:
    if examples * _AUTO < _FEWEST_SEEN:
        return min(_MOST, _FEWEST_SEEN // max(examples, 1))
    if examples * _AUTO > _MOST_SEEN:
        return max(1, _MOST_SEEN // examples)
    return _AUTO


def _local(hyperparameters: Mapping[str, Any], examples: int) -> Passes:
    """At most: it may stop early, and leaves out chats that are too long."""
    try:
        chosen = LoraHyperparameters.model_validate(dict(hyperparameters))
    except ValidationError:
        return Passes(None, is_set=False, told="the local trainer refuses these hyperparameters")
    if examples < 1:
        return Passes(None, is_set=False, told="there is nothing to train on")
    steps = chosen.steps(examples)
    seen = Decimal(min(steps * chosen.batch_size, chosen.epochs * examples))
    return Passes(seen / examples, is_set=True, told=f"at most {steps} steps of {chosen.batch_size} chats")
