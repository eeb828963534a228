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

    def steps(self, examples: int) -> int:
        """Optimizer steps of a whole run over this many examples."""
        batches = -(-examples // self.batch_size)
        return min(self.max_steps, self.epochs * batches)

    def rate(self, step: int, of: int) -> float:
        """Learning rate of a step counted from 0."""
        warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
        left = (of - step) / max(1, of - min(self.warmup_steps, of - 1))
        return self.learning_rate * min(warm, left)
