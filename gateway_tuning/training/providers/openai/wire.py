"""What is read of OpenAI's answers, and what its SDK's exceptions mean.

Servers that only resemble OpenAI's leave fields out, so only what cannot be missed is required.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from gateway_tuning.errors import GatewayTuningError, missing_extra
from gateway_tuning.training.job import JobStatus
from gateway_tuning.training.providers import answers

WHO = "OpenAI"
KEY = "gateway_tuning_key"

STATUSES = {
    "validating_files": JobStatus.QUEUED,
    "queued": JobStatus.QUEUED,
    "running": JobStatus.RUNNING,
    "succeeded": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
}

Auto = Literal["auto"]
# A grader that compares with the answer that the format openai-rft writes beside the prompt.
LIKE_THE_REFERENCE = {
    "type": "text_similarity",
    "name": "like the reference answer",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
    "evaluation_metric": "fuzzy_match",
}


class Supervised(BaseModel):
    model_config = ConfigDict(extra="forbid")

    batch_size: Auto | PositiveInt = "auto"
    learning_rate_multiplier: Auto | PositiveFloat = "auto"
    n_epochs: Auto | PositiveInt = "auto"


class Dpo(Supervised):
    beta: Auto | PositiveFloat = "auto"


class Reinforcement(Supervised):
    """`grader` is none of OpenAI's hyperparameters, but part of the method."""

    compute_multiplier: Auto | PositiveFloat = "auto"
    eval_interval: Auto | PositiveInt = "auto"
    eval_samples: Auto | PositiveInt = "auto"
    reasoning_effort: Literal["default", "low", "medium", "high"] = "default"
    grader: dict[str, Any] = LIKE_THE_REFERENCE


PARAMETERS: dict[str, type[BaseModel]] = {
    "supervised": Supervised,
    "dpo": Dpo,
    "reinforcement": Reinforcement,
}


def method(name: str, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """`method` of a new job. What was not given stays OpenAI's own choice."""
    asked: dict[str, Any] = {"hyperparameters": dict(hyperparameters)}
    if name == "reinforcement":
        asked["grader"] = asked["hyperparameters"].pop("grader", LIKE_THE_REFERENCE)
    return {"type": name, name: asked}


def _or_empty(value: object) -> object:
    return {} if value is None else value


Texts = Annotated[dict[str, str], BeforeValidator(_or_empty)]


class Failure(BaseModel):
    code: str | None = None
    message: str | None = None


class Job(BaseModel):
    id: str = Field(pattern=answers.ID)
    status: str
    created_at: float = 0
    error: Failure | None = None
    fine_tuned_model: str | None = None
    metadata: Texts = {}
    result_files: list[str] = []
    trained_tokens: int | None = None
    training_file: str | None = None
    validation_file: str | None = None

    @property
    def files(self) -> list[str]:
        return [file for file in (self.training_file, self.validation_file) if file]


class Event(BaseModel):
    message: str = ""
    level: str = "info"
    type: str | None = None
    created_at: float = 0
    data: Annotated[dict[str, Any], BeforeValidator(_or_empty)] = {}


class CheckpointSeen(BaseModel):
    step_number: int
    fine_tuned_model_checkpoint: str | None = None
    metrics: Annotated[dict[str, Any], BeforeValidator(_or_empty)] = {}


class File(BaseModel):
    id: str = Field(pattern=answers.ID)
    filename: str = ""
    bytes: int | None = None
    status: str | None = None


T = TypeVar("T")
Read = TypeVar("Read", bound=BaseModel)


def read(model: type[Read], answer: object) -> Read:
    """The SDK checks nothing and makes a text of what is no JSON. Raises ProviderUnavailableError."""
    told = answer.to_dict(mode="python") if hasattr(answer, "to_dict") else answer
    try:
        return model.model_validate(told)
    except ValidationError as error:
        raise answers.unreadable(WHO, error) from None


def ask(call: Callable[[], T]) -> T:
    """What the SDK answers; its exceptions become our errors.

    Raises:
        ProviderError: refused for good.
        ProviderUnavailableError: no answer, or none that can be read.
    """
    openai = sdk()
    try:
        return call()
    except GatewayTuningError:
        raise
    except openai.APIStatusError as error:
        code, message = answers.reason(error.response.content)
        raise answers.of_status(
            WHO, error.status_code, code, message, error.response.headers, now=datetime.now(UTC)
        ) from None
    except openai.APITimeoutError:
        raise answers.unavailable(WHO, "no answer in time") from None
    except openai.APIConnectionError as error:
        raise answers.unavailable(WHO, f"{error.message} {error.__cause__ or ''}".strip()) from None
    except (openai.OpenAIError, ValueError, AttributeError, TypeError):
        # It parses without a check: half an answer or another one makes it stumble in any of these ways.
        raise answers.unavailable(WHO, answers.UNREADABLE) from None


def ask_for(call: Callable[[], T]) -> T | None:
    """As `ask`; None where there is no such object."""
    try:
        return ask(lambda: _unless_absent(call))
    except _AbsentError:
        return None


class _AbsentError(Exception):
    pass


def _unless_absent(call: Callable[[], T]) -> T:
    try:
        return call()
    except sdk().NotFoundError:
        raise _AbsentError from None


def sdk() -> Any:
    """Loaded when it is needed: importing it takes longer than all of the command line's help."""
    try:
        import openai
    except ModuleNotFoundError:
        raise missing_extra("openai", "openai") from None
    return openai
