"""OpenAI's hyperparameters as those of the local trainer. Pure."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.training.local.hyperparameters import LoraHyperparameters, defaults_of

MAX_TOKENS = 2048
"""Of a chat; as many as the model's server takes."""

_AUTO_EPOCHS = 3
_LONGEST_STRIDE = 20  # steps between two checkpoints at most
_NEVER = 10**9

Auto = Literal["auto"]


class Hyperparameters(BaseModel):
    """As in `method.supervised.hyperparameters`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_epochs: Auto | Annotated[int, Field(ge=1, le=50)] = "auto"
    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0, le=20)] = "auto"


class DpoHyperparameters(Hyperparameters):
    beta: Auto | Annotated[float, Field(gt=0, le=2)] = "auto"


def resolved(asked: dict[str, float | int | str]) -> dict[str, float | int | str]:
    """`auto` becomes what it stands for. The beta of DPO stays: the trainer has a default of its own."""
    defaults: dict[str, float | int] = {
        "n_epochs": _AUTO_EPOCHS,
        "batch_size": LoraHyperparameters().batch_size,
        "learning_rate_multiplier": 1.0,
    }
    return {name: defaults.get(name, value) if value == "auto" else value for name, value in asked.items()}


def for_trainer(method: str, chosen: dict[str, float | int | str], examples: int) -> dict[str, Any]:
    """Of resolved ones. Every epoch is trained to its end, as at OpenAI: nothing is stopped early.

    Checkpoints and looks at the validation loss fall together, once an epoch or more often.
    """
    batch, epochs = int(chosen["batch_size"]), int(chosen["n_epochs"])
    an_epoch = -(-examples // batch)
    stride = -(-an_epoch // -(-an_epoch // _LONGEST_STRIDE))
    steps = an_epoch * epochs
    own = LoraHyperparameters.model_validate(defaults_of(method))
    known: dict[str, Any] = {
        "epochs": epochs,
        "max_steps": steps,
        "batch_size": batch,
        "learning_rate": own.learning_rate * float(chosen["learning_rate_multiplier"]),
        "warmup_steps": min(own.warmup_steps, steps // 4),
        "evaluate_every": stride,
        "checkpoint_every": stride,
        "early_stopping_patience": _NEVER,
        "max_tokens": MAX_TOKENS,
        "tokens_per_pass": MAX_TOKENS,  # a step of long chats takes several passes, and no more memory
    }
    beta = chosen.get("beta", "auto")
    return known if beta == "auto" else known | {"beta": float(beta)}
