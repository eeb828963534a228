"""What may be asked of the local trainer. Light: imported by forms and checks that never train."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LoraHyperparameters(BaseModel):
    """LoRA on every linear layer of the base model.

    The defaults fit a few hundred short chats on two CPU cores: such a run learns style and format, not facts.
    A run ends at `max_steps` or after `epochs`, whichever comes first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(8, ge=1, le=256)
    alpha: float = Field(16.0, gt=0, description="The adapter's output is scaled by alpha / rank")
    learning_rate: float = Field(
        4e-3, gt=0, le=0.1, description="Peak; falls to zero linearly after the warm-up"
    )
    warmup_steps: int = Field(4, ge=0)
    batch_size: int = Field(4, ge=1, le=1024, description="Chats a step")
    max_steps: int = Field(40, ge=1)
    epochs: int = Field(3, ge=1)
    max_tokens: int = Field(512, ge=16, description="Longer chats are left out and counted")
    max_gradient_norm: float = Field(1.0, gt=0)
    evaluate_every: int = Field(10, ge=1, description="Steps between two looks at the validation loss")
    validation_chats: int = Field(16, ge=1, description="The first so many validation chats are looked at")
    early_stopping_patience: int = Field(
        3, ge=1, description="Stop after so many looks without a better validation loss"
    )
    checkpoint_every: int = Field(10, ge=1, description="Steps")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda where there is one")
    tokens_per_pass: int = Field(
        16384,
        ge=16,
        description="A step with more tokens takes several passes; lower it when memory runs out",
    )
    max_training_seconds: float = Field(
        6 * 3600.0, gt=0, description="A longer run fails; resumed time counts"
    )

    beta: float = Field(
        0.1, gt=0, le=2, description="dpo, kto: how dear it is to leave the base model's probabilities"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="dpo: share of pairs taken to be the wrong way round"
    )
    desirable_weight: float = Field(1.0, gt=0, description="kto: of the loss of desirable answers")
    undesirable_weight: float = Field(1.0, gt=0, description="kto: of the loss of undesirable answers")

    def steps(self, examples: int) -> int:
        """Optimizer steps of a whole run over this many examples."""
        batches = -(-examples // self.batch_size)
        return min(self.max_steps, self.epochs * batches)

    def rate(self, step: int, of: int) -> float:
        """Learning rate of a step counted from 0."""
        warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
        left = (of - step) / max(1, of - min(self.warmup_steps, of - 1))
        return self.learning_rate * min(warm, left)


_ONLY_OF = {
    "beta": {"dpo", "kto"},
    "label_smoothing": {"dpo"},
    "desirable_weight": {"kto"},
    "undesirable_weight": {"kto"},
}
_RATES = {"dpo": 3e-4, "kto": 3e-4}


def names_of(method: str) -> list[str]:
    """The hyperparameters that mean something to a method."""
    return [name for name in LoraHyperparameters.model_fields if method in _ONLY_OF.get(name, {method})]


def defaults_of(method: str) -> dict[str, float]:
    """Those that differ from the fields' own defaults: preferences are learned more slowly than answers."""
    return {"learning_rate": _RATES[method]} if method in _RATES else {}
