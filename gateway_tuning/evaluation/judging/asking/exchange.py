"""One request to the judge's endpoint and what came of it. What went wrong is a value with its reason."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gateway_tuning.evaluation.running.pacing import retry_after_s

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_LONGEST_ERROR = 300
_MAY_PASS = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT}
# Of httpx or its successor, whichever the SDK uses: the request never left this machine.
_NEVER_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "LocalProtocolError"}


@dataclass(frozen=True, slots=True)
class Reply:
    """`usage` is what the server counted, read and written; None where it told nothing usable."""

    content: str | None
    refusal: str | None
    finish: str
    usage: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Fault:
    """`status` is None where there was no answer. `is_free`: the server did no work that it could charge for."""

    reason: str
    status: int | None = None
    rest_s: float | None = None
    is_free: bool = False

    @property
    def is_refused_for_now(self) -> bool:
        return self.status == HTTPStatus.TOO_MANY_REQUESTS

    @property
    def is_not_allowed(self) -> bool:
        """No key, no right, no such model: true of every other request too."""
        return self.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}

    @property
    def is_not_understood(self) -> bool:
        """A parameter may be one that the server does not know."""
        return self.status in {
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.NOT_IMPLEMENTED,
        }

    @property
    def may_pass(self) -> bool:
        return (
            self.status is None or self.status in _MAY_PASS or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )


async def request(
    client: "AsyncOpenAI",
    model: str,
    messages: Sequence[Mapping[str, str]],
    parameters: Mapping[str, Any],
    timeout_s: float,
) -> Reply | Fault:
    from openai import APIConnectionError, APIStatusError, OpenAIError

    body: Any = messages
    try:
        async with asyncio.timeout(timeout_s):  # the SDK's is for each read, not for all of them
            completion: Any = await client.chat.completions.create(model=model, messages=body, **parameters)
    except TimeoutError:
        return Fault(f"no answer within {timeout_s:g} s")
    except APIStatusError as error:
        rest = retry_after_s(error.response.headers, datetime.now(UTC))
        fault = Fault(_told(error), error.status_code, rest)
        return Fault(_told(error), error.status_code, rest, is_free=not fault.may_pass)
    except APIConnectionError as error:
        return Fault(_told(error), is_free=type(error.__cause__).__name__ in _NEVER_SENT)
    except (OpenAIError, ValueError) as error:  # ValueError: the SDK reads the body, which is cut or no JSON
        return Fault(_told(error))
    return _read(completion)


def _read(completion: Any) -> Reply | Fault:
    """The SDK does not check what it builds an answer from: any part may be missing or of another type."""
    try:
        choice = completion.choices[0]
        content, refusal = choice.message.content, getattr(choice.message, "refusal", None)
    except (AttributeError, IndexError, TypeError, KeyError):
        return Fault("the judge's reply is no chat completion")
    return Reply(
        content if isinstance(content, str) else None,
        refusal if isinstance(refusal, str) else None,
        str(getattr(choice, "finish_reason", None)),
        _usage(getattr(completion, "usage", None)),
    )


def _usage(usage: Any) -> tuple[int, int] | None:
    read, written = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if not isinstance(read, int) or not isinstance(written, int) or read <= 0 or written < 0:
        return None
    return read, written


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
