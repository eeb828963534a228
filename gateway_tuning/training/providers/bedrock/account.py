"""Where and as whom Bedrock is reached by boto3, and what its errors mean in plain text."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from pydantic import SecretStr

from gateway_tuning.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    ProviderError,
    missing_extra,
)
from gateway_tuning.settings import Settings
from gateway_tuning.training.providers import answers

Service = Literal["bedrock", "bedrock-runtime", "s3"]

# What the service takes as the beginning of an s3Uri.
_DATA_URL = re.compile(r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](?:/[-!_*'().a-z0-9A-Z]+)*/?")
_TRY_AGAIN = frozenset(
    {
        "InternalFailure", "InternalServerException", "ModelErrorException", "ModelNotReadyException",
        "ModelTimeoutException", "OperationAborted", "RequestLimitExceeded", "RequestTimeout", "RequestTimeoutException",
        "ServiceUnavailable", "ServiceUnavailableException", "SlowDown", "Throttling", "ThrottlingException",
        "TooManyRequestsException",
    }
)  # fmt: skip
_DENIED = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId",
        "InvalidSignatureException", "SignatureDoesNotMatch", "UnrecognizedClientException",
    }
)  # fmt: skip
_ABSENT = frozenset({"ResourceNotFoundException", "NoSuchKey", "404"})
_ENDED_MODEL = re.compile(
    r"end[ -]of[ -]life|end of its life|no longer (?:available|supported)|legacy", re.IGNORECASE
)
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500


@dataclass(frozen=True, slots=True)
class BedrockAccount:
    """`data_url` is an `s3://` folder in the region's own S3; the service reads and writes there as `role_arn`.

    Without `key` and `secret` botocore looks where it always does: environment, profile, role of the machine.
    """

    region: str
    role_arn: str
    data_url: str
    model_kms_key_arn: str | None = None
    endpoint_url: str | None = None
    s3_endpoint_url: str | None = None
    key: SecretStr | None = None
    secret: SecretStr | None = None
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    s3_attempts: int = 3

    def __post_init__(self) -> None:
        """Raises ConfigurationError."""
        if not _DATA_URL.fullmatch(self.data_url):
            raise ConfigurationError(
                f"GATEWAY_TUNING_BEDROCK_DATA_URL {self.data_url!r} is no folder on S3 that Bedrock takes; use s3://BUCKET/FOLDER"
            )

    @classmethod
    def from_settings(cls, settings: Settings) -> "BedrockAccount":
        """Raises ConfigurationError: one of the settings that are needed is missing."""
        needed = {
            name: getattr(settings, name)
            for name in ("bedrock_region", "bedrock_role_arn", "bedrock_data_url")
        }
        if missing := [f"GATEWAY_TUNING_{name.upper()}" for name, value in needed.items() if not value]:
            raise ConfigurationError(
                f"The provider bedrock needs {', '.join(missing)}; docs/how-to/train-on-bedrock.md says what they are"
            )
        return cls(
            region=needed["bedrock_region"],
            role_arn=needed["bedrock_role_arn"],
            data_url=needed["bedrock_data_url"],
            model_kms_key_arn=settings.bedrock_model_kms_key_arn,
            endpoint_url=settings.bedrock_endpoint_url,
            s3_endpoint_url=settings.bedrock_s3_endpoint_url,
        )

    def client(self, service: Service) -> Any:
        """The SDK's client, made once a process; threads may share it. Raises MissingExtraError."""
        return _client(self, service)


@lru_cache(maxsize=32)
def _client(account: BedrockAccount, service: Service) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise missing_extra("boto3", "bedrock") from None
    session = boto3.session.Session(
        aws_access_key_id=None if account.key is None else account.key.get_secret_value(),
        aws_secret_access_key=None if account.secret is None else account.secret.get_secret_value(),
        region_name=account.region,
    )
    endpoint = account.s3_endpoint_url if service == "s3" else account.endpoint_url
    config = Config(
        connect_timeout=account.connect_timeout_s,
        read_timeout=account.read_timeout_s,
        # Who asks waits between attempts, by what the service says. Parts of a long upload are sent again here.
        retries={"mode": "standard", "total_max_attempts": account.s3_attempts if service == "s3" else 1},
        s3={"addressing_style": "path" if account.s3_endpoint_url else "auto"},
    )
    client = session.client(service, endpoint_url=endpoint, config=config)
    if service != "s3":
        client.meta.events.register(f"response-received.{service}", _require_whole)
    return client


def _require_whole(response_dict: dict[str, Any] | None, **_event: Any) -> None:
    """The SDK reads an answer that is no JSON as an empty one, and so half a list of jobs as none.

    It calls this for requests without an answer, too.
    """
    from botocore.parsers import ResponseParserError

    body = None if response_dict is None else response_dict.get("body")
    if isinstance(body, bytes) and body:
        try:
            json.loads(body)
        except ValueError:
            raise ResponseParserError("The answer is no JSON") from None


@contextmanager
def asking(account: BedrockAccount, what: str, *, base_model: str | None = None) -> Iterator[None]:
    """Errors of the SDK inside become the project's. `what` completes "Bedrock does not ...".

    Raises:
        ProviderUnavailableError: no answer, or one that asks for another try.
        NotFoundError: AWS does not know the object.
        ConflictError: the object is not in a state for this, or the key stands for something else.
        ProviderError: any other refusal.
    """
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,  # noqa: A004 - botocore's
            HTTPClientError,
            NoCredentialsError,
            PartialCredentialsError,
        )
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError
    except ImportError:
        raise missing_extra("boto3", "bedrock") from None
    try:
        yield
    except ClientError as error:
        raise _answer(account, error.response, what, base_model) from error
    except (ConnectionError, HTTPClientError, HTTPError, ResponseParserError, OSError) as error:
        raise answers.unavailable("Bedrock", f"it did not {what}: {type(error).__name__}") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ProviderError(
            f"AWS was not asked to {what}: {error}. Set AWS_PROFILE, AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, "
            "or give the machine a role"
        ) from error
    except (BotoCoreError, Boto3Error) as error:
        if isinstance(error.__context__, ClientError):  # an upload's refusal is wrapped
            raise _answer(account, error.__context__.response, what, base_model) from error
        raise ProviderError(f"AWS was not asked to {what}: {answers.quoted(str(error))}") from error


def _answer(  # noqa: PLR0911 - one return a meaning
    account: BedrockAccount, response: Any, what: str, base_model: str | None
) -> Exception:
    code = str(response.get("Error", {}).get("Code", ""))
    told = answers.quoted(str(response.get("Error", {}).get("Message", "")))
    metadata = response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    said = f"AWS in {account.region} did not {what}: {code}" + (f": {told.rstrip('.')}" if told else "")
    if code in _TRY_AGAIN or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR:
        wait = answers.retry_after(metadata.get("HTTPHeaders", {}), now=datetime.now(UTC))
        return answers.unavailable("Bedrock", said, retry_after_s=wait)
    if base_model is not None and _ENDED_MODEL.search(told):
        return ProviderError(
            f"{said}. Base model {base_model} has ended on Bedrock; choose one of "
            "docs.aws.amazon.com/bedrock/latest/userguide/custom-model-supported.html, or take the data elsewhere "
            "with `gateway-tuning datasets export`"
        )
    if code in _DENIED:
        return ProviderError(f"{said}. {_permissions(account)}")
    if code == "ServiceQuotaExceededException":
        return ProviderError(
            f"{said}. Wait until running jobs have ended, delete custom models that nobody uses, "
            "or have the quota raised in AWS Service Quotas"
        )
    if code == "NoSuchBucket":
        return ProviderError(
            f"{said}. Create the bucket in {account.region}, or correct GATEWAY_TUNING_BEDROCK_DATA_URL"
        )
    if code in _ABSENT and base_model is not None:
        return ProviderError(
            f"{said}. Base model {base_model} cannot be tuned in {account.region}; ask for access to it, or use "
            "another region or model"
        )
    if code in _ABSENT:
        return NotFoundError(said)
    if code == "ConflictException":
        return ConflictError(said)
    return ProviderError(
        said + (f" (base model {base_model})" if base_model else "") + ". Correct the request"
    )


def _permissions(account: BedrockAccount) -> str:
    return (
        "Give the caller's identity the permissions of docs/how-to/train-on-bedrock.md, iam:PassRole on "
        f"{account.role_arn} among them, and check that its credentials are valid"
    )
