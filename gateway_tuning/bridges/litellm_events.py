"""What LiteLLM tells its callbacks of a request, as far as an outcome needs it. Pure.

Facts of LiteLLM 1.108: a client that leaves is told as a success with the code 499; a stream that breaks as a failure
whose HTTP status was 200; of a stream, `response_time` is the time to its first chunk. A stream whose upstream does not
say its usage has a usage of zeros, which means that nobody knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway_tuning.gateway.relay.answers import AnswerText, Said
from gateway_tuning.gateway.relay.upstream import token_counts

MARK = "gateway_tuning"  # in a request's metadata
_CLIENT_GONE = "499"


@dataclass(frozen=True, slots=True)
class Event:
    """The end of a request. `mark` is what the assignment left there, `group` LiteLLM's name of the model that answered.

    `is_refusal` says that LiteLLM itself turned the request down, as over a budget: it reached no model.
    """

    mark: Mapping[str, str] | None
    group: str | None
    error: str | None
    is_refusal: bool
    latency_ms: float
    first_token_ms: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    said: Said | None


def read_event(kwargs: Mapping[str, Any], response: Any, start: datetime, end: datetime) -> Event:
    metadata = (kwargs.get("litellm_params") or {}).get("metadata") or {}
    logged = kwargs.get("standard_logging_object") or {}
    error = _error(kwargs, logged, response)
    exception = kwargs.get("exception")
    first = kwargs.get("completion_start_time") if kwargs.get("stream") else None
    prompt_tokens, completion_tokens = _usage(response)
    mark = metadata.get(MARK)
    return Event(
        mark=mark if isinstance(mark, Mapping) else None,
        group=logged.get("model_group") or metadata.get("model_group"),
        error=error,
        # Its own errors carry the provider's name, also where they come of a status.
        is_refusal=exception is not None and type(exception).__name__ == "HTTPException",
        latency_ms=max((end - start).total_seconds() * 1000.0, 0.0),
        first_token_ms=None if first is None else max((first - start).total_seconds() * 1000.0, 0.0),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        said=_said(response) if error is None else None,
    )


def _error(kwargs: Mapping[str, Any], logged: Mapping[str, Any], response: Any) -> str | None:
    """The gateway's own codes for the same failures."""
    told = logged.get("error_information") or {}
    status = str(told.get("error_code") or "")
    exception = kwargs.get("exception")
    if status == _CLIENT_GONE:
        return "interrupted"
    if exception is None and logged.get("status") != "failure":
        return None if getattr(response, "choices", None) else "no_choices"
    kind = told.get("error_class") or type(exception).__name__
    if "Timeout" in kind:
        return "timeout"
    if "Connection" in kind or kind.startswith("MidStream"):
        return "unreachable" if kwargs.get("completion_start_time") is None else "connection_lost"
    return f"status_{status}" if status.isdigit() else "failed"


def _usage(response: Any) -> tuple[int | None, int | None]:
    usage = getattr(response, "usage", None)
    counts = {name: getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")}
    return token_counts(counts) if any(counts.values()) else (None, None)


def _said(response: Any) -> Said | None:
    choices = getattr(response, "choices", None)
    message = getattr(choices[0], "message", None) if choices else None
    if message is None:
        return None
    text = AnswerText()
    text.add({name: getattr(message, name, None) for name in ("content", "refusal")})
    return text.said()
