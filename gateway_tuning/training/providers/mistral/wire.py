"""How Mistral is reached by its SDK, what is read of its answers, and what its errors mean."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
)

from gateway_tuning.errors import ConfigurationError, NotFoundError, missing_extra
from gateway_tuning.settings import Settings
from gateway_tuning.training.job import JobStatus
from gateway_tuning.training.providers import answers, api_key

WHO = "Mistral"
NOT_FOUND = 404
PAGE = 100

STATUSES = {
    "QUEUED": JobStatus.QUEUED,
    "VALIDATING": JobStatus.QUEUED,
    "VALIDATED": JobStatus.QUEUED,
    "STARTED": JobStatus.RUNNING,
    "RUNNING": JobStatus.RUNNING,
    "CANCELLATION_REQUESTED": JobStatus.RUNNING,
    "SUCCESS": JobStatus.SUCCEEDED,
    "FAILED": JobStatus.FAILED,
    "FAILED_VALIDATION": JobStatus.FAILED,
    "CANCELLED": JobStatus.CANCELLED,
}


class Supervised(BaseModel):
    """Say `training_steps` or `epochs`; without either the service decides."""

    model_config = ConfigDict(extra="forbid")

    training_steps: PositiveInt | None = None
    epochs: PositiveFloat | None = None
    learning_rate: Annotated[float, Field(ge=1e-8, le=1)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0, le=1)] | None = None
    warmup_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    seq_len: Annotated[int, Field(ge=100)] | None = None


def _or_empty_list(value: object) -> object:
    return [] if value is None else value


def _or_empty_object(value: object) -> object:
    return {} if value is None else value


Texts = Annotated[list[str], BeforeValidator(_or_empty_list)]
Values = Annotated[dict[str, Any], BeforeValidator(_or_empty_object)]


class Event(BaseModel):
    name: str = ""
    data: Values = {}
    created_at: float = 0


class CheckpointSeen(BaseModel):
    step_number: int
    metrics: Values = {}


class Job(BaseModel):
    """Of a listed one, `events` and `checkpoints` are not told."""

    id: str = Field(min_length=1)
    status: str
    model: str = ""
    suffix: str | None = None
    auto_start: bool = True
    created_at: float = 0
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    training_files: Texts = []
    validation_files: Texts = []
    hyperparameters: Values = {}
    metadata: Values = {}
    events: Annotated[list[Event], BeforeValidator(_or_empty_list)] = []
    checkpoints: Annotated[list[CheckpointSeen], BeforeValidator(_or_empty_list)] = []


class Jobs(BaseModel):
    data: Annotated[list[Job], BeforeValidator(_or_empty_list)] = []


class File(BaseModel):
    id: str = Field(min_length=1)
    filename: str = ""
    size: int | None = Field(None, alias="bytes")


class Files(BaseModel):
    data: Annotated[list[File], BeforeValidator(_or_empty_list)] = []


class Deleted(BaseModel):
    """Mistral answers with the id again; a file that is gone is not found, and that is all that counts."""


class Forecast(BaseModel):
    """What Mistral tells of a job that it was asked for and does not begin; None is unknown.

    `id` is of a job that it made all the same.
    """

    id: str | None = None
    cost: float | None = None
    cost_currency: str | None = None
    train_tokens: int | None = None
    data_tokens: int | None = None
    expected_duration_seconds: float | None = None
    training_steps: int | None = None
    epochs: float | None = None


@dataclass(frozen=True, slots=True)
class MistralAccount:
    key: SecretStr
    base_url: str = "https://api.mistral.ai"
    timeout_s: float = 120.0

    @classmethod
    def from_settings(cls, settings: Settings) -> "MistralAccount":
        """Raises ConfigurationError: no key, or none that can be sent."""
        key = api_key.required(settings.mistral_api_key, WHO, "MISTRAL_API_KEY")
        return cls(key, settings.mistral_base_url)

    def client(self, *, dry_run: bool = False) -> Any:
        """The SDK's client, made once a process. With `dry_run` a job that is created is only reckoned up."""
        return _client(self, dry_run)


@lru_cache(maxsize=16)
def _client(account: MistralAccount, dry_run: bool) -> Any:
    make = sdk().client
    import httpx  # it comes with the SDK

    # The SDK has no argument for a dry run, so it travels as a parameter of every request of a client of its own.
    # A redirect would carry training data to a host that nobody named.
    http = httpx.Client(params={"dry_run": "true"} if dry_run else None, follow_redirects=False)
    client = make(
        api_key=account.key.get_secret_value(),
        server_url=account.base_url.rstrip("/"),
        client=http,
        timeout_ms=round(account.timeout_s * 1000),
    )
    if not hasattr(client, "fine_tuning") or not hasattr(client.fine_tuning, "jobs"):
        raise ConfigurationError(
            "The installed mistralai knows no tuning jobs, as all from 2.5 on; install 'mistralai>=1.9.11,<2.5'"
        )
    return client


@dataclass(frozen=True, slots=True)
class _Sdk:
    client: Any
    http_error: type[Exception]
    unfit_answer: type[Exception]
    no_answer: type[Exception]


@lru_cache(maxsize=1)
def sdk() -> _Sdk:
    """Of either layout: 2.x keeps its client a module deeper than 1.x. Raises MissingExtraError."""
    try:
        import mistralai
    except ImportError:
        raise missing_extra("mistralai", "mistral") from None
    try:
        from mistralai.client import Mistral, errors
    except ImportError:
        Mistral, errors = mistralai.Mistral, mistralai.models  # noqa: N806 - the SDK's name
    return _Sdk(Mistral, errors.MistralError, errors.ResponseValidationError, errors.NoResponseError)


Read = TypeVar("Read", bound=BaseModel)


def ask(model: type[Read], call: Callable[[], Any]) -> Read:
    """What the SDK answers, read leniently: it refuses a whole answer for one status that it does not know.

    Raises:
        ProviderUnavailableError: no answer, or none that can be read.
        NotFoundError: Mistral does not know the object.
        ProviderError: refused for good.
    """
    import httpx

    known = sdk()
    try:
        told = call().model_dump(mode="json", by_alias=True, warnings=False)
        return model.model_validate(told)
    except known.unfit_answer as error:
        return _read(model, str(error.body))  # type: ignore[attr-defined] # of the SDK's class
    except known.http_error as error:
        raise _refusal(error) from None
    except (known.no_answer, httpx.HTTPError, httpx.StreamError) as error:
        raise answers.unavailable(WHO, type(error).__name__) from None
    except ValidationError as error:
        raise answers.unreadable(WHO, error) from None


def _read(model: type[Read], body: str) -> Read:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise answers.unreadable(WHO, error) from None


def _refusal(error: Any) -> Exception:
    status, said = int(error.status_code), answers.reason(error.body)[1]
    if status == NOT_FOUND:
        return NotFoundError(f"{WHO}: {answers.quoted(said) or 'no such object'}")
    return answers.of_status(WHO, status, None, said, error.headers, now=datetime.now(UTC))
