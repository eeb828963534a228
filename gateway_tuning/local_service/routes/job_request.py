"""The body of `POST /v1/fine_tuning/jobs`."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway_tuning.datasets.formats.openai import JOB_SUFFIX
from gateway_tuning.local_service.training.hyperparameters import DpoHyperparameters, Hyperparameters

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Supervised(BaseModel):
    model_config = _STRICT

    hyperparameters: Hyperparameters = Hyperparameters()


class Dpo(BaseModel):
    model_config = _STRICT

    hyperparameters: DpoHyperparameters = DpoHyperparameters()


class Method(BaseModel):
    model_config = _STRICT

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: Supervised | None = None
    dpo: Dpo | None = None
    reinforcement: dict[str, Any] | None = None


class JobRequest(BaseModel):
    """`hyperparameters` beside `method` is the deprecated place of those of the supervised method."""

    model_config = _STRICT

    model: str
    training_file: str
    validation_file: str | None = None
    method: Method = Method(type="supervised")
    hyperparameters: Hyperparameters | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    suffix: Annotated[str, Field(max_length=JOB_SUFFIX.max_length, pattern=r"^[^:/\x00-\x1f\x7f]*$")] = ""
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
            Field(max_length=16),
        ]
        | None
    ) = None
    integrations: Annotated[list[Any], Field(max_length=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        """A null means the default, as at OpenAI."""
        return (
            {name: value for name, value in given.items() if value is not None}
            if isinstance(given, dict)
            else given
        )

    @model_validator(mode="after")
    def _one_place_for_hyperparameters(self) -> Self:
        """Those in another place would be passed over."""
        method = self.method
        for other in {"supervised", "dpo", "reinforcement"} - {method.type}:
            if getattr(method, other) is not None:
                raise ValueError(f"method.{other} does not belong to the method {method.type}; leave it out")
        if self.hyperparameters is not None and (
            method.type != "supervised" or method.supervised is not None
        ):
            raise ValueError("send hyperparameters within method alone")
        return self

    def chosen(self) -> dict[str, float | int | str]:
        """The hyperparameters of its method."""
        if self.method.type == "dpo":
            return (self.method.dpo or Dpo()).hyperparameters.model_dump()
        found = self.hyperparameters or (self.method.supervised or Supervised()).hyperparameters
        return found.model_dump()
