"""What s3fs, botocore and aiohttp raise, as errors of this project."""

import errno

from gateway_tuning.errors import (
    ConfigurationError,
    GatewayTuningError,
    StorageUnavailableError,
    UnsupportedRequestError,
)

_SETTINGS = {
    "InvalidRegionError",
    "NoCredentialsError",
    "NoRegionError",
    "ParamValidationError",
    "PartialCredentialsError",
    "ProfileNotFound",
}


def faults() -> tuple[type[Exception], ...]:
    """All that a call may raise because of the server, the network or the settings."""
    from aiohttp import ClientError as HttpClientError
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, BotoCoreError, ClientError, HttpClientError)


def torn() -> tuple[type[Exception], ...]:
    """An answer that broke off. botocore tries a request again, but not the reading of its answer."""
    from aiohttp import ClientPayloadError
    from botocore.exceptions import IncompleteReadError, ResponseStreamingError
    from botocore.parsers import ResponseParserError

    return (ClientPayloadError, IncompleteReadError, ResponseStreamingError, ResponseParserError)


def code_of(error: BaseException | None) -> str | None:
    """The server's own error code; s3fs hides it in the cause."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            code = response.get("Error", {}).get("Code")
            return None if code is None else str(code)
        error = error.__cause__
    return None


def explained(error: Exception, uri: str) -> Exception:
    """FileNotFoundError and FileExistsError of an object stay what they are."""
    code = code_of(error)
    if code == "NoSuchBucket":
        return ConfigurationError(f"The bucket of {uri} does not exist; create it or correct the address")
    if code in {"PreconditionFailed", "412"}:
        return FileExistsError(uri)
    if code in {"NotImplemented", "501", "MethodNotAllowed", "405"}:
        return UnsupportedRequestError(f"The storage server does not support what {uri} needs ({error})")
    if isinstance(error, FileExistsError) or (
        isinstance(error, FileNotFoundError) and code != "NoSuchUpload"
    ):
        return error
    if isinstance(error, PermissionError) or type(error).__name__ in _SETTINGS:
        return ConfigurationError(
            f"The storage server refused {uri} ({_first_line(error)}); "
            "check credentials, region and the bucket's policy"
        )
    return _unavailable(error, uri, code)


def _unavailable(error: Exception, uri: str, code: str | None) -> GatewayTuningError:
    if code == "NoSuchUpload":
        why = "its upload was ended by somebody else, or its confirmation was lost"
    elif isinstance(error, OSError) and error.errno == errno.EINVAL and code is not None:
        why = f"the server refused it: {code}, {_first_line(error)}"
    else:
        why = _first_line(error)
    return StorageUnavailableError(
        f"Object storage failed at {uri} ({why}); see that it answers, then run again"
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
