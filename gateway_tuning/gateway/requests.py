"""What a client sent, checked as far as the gateway must understand it. The rest goes to the model unread."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.requests import Request

from gateway_tuning.gateway.replies import RefusedError
from gateway_tuning.rollout import assignment

BODY_LIMIT = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`user` is None for an anonymous request: it takes part in no comparison."""

    body: dict[str, Any]
    model: str
    user: str | None
    stream: bool
    simulated: bool

    @property
    def prompt_chars(self) -> int | None:
        """Length of what the user asked last; None where no user's turn has text."""
        for message in reversed(self.body["messages"]):
            if isinstance(message, dict) and message.get("role") == "user":
                return text_length(message.get("content"))
        return None

    @property
    def user_id(self) -> str | None:
        """The name that the application sent, as its feedback will say it; None where a session is all there is."""
        prefix = assignment.named("")
        if self.user is None or not self.user.startswith(prefix):
            return None
        return self.user.removeprefix(prefix)


def text_length(content: Any) -> int | None:
    """Characters of a message's content, whose parts may be images too; None where it has no text."""
    if isinstance(content, str):
        return len(content)
    if not isinstance(content, list):
        return None
    texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return sum(map(len, texts)) if texts else None


async def read_chat_request(request: Request) -> ChatRequest:
    """Raises RefusedError."""
    body = await read_json(request)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RefusedError(400, "missing_model", "The request must name a model")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise RefusedError(400, "missing_messages", "The request must have a list of messages")
    return ChatRequest(
        body=body,
        model=model,
        user=_user(request, body),
        stream=body.get("stream") is True,
        simulated=request.headers.get("x-gateway-simulated") == "1",
    )


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises RefusedError with 413 or 400."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_LIMIT:
            raise RefusedError(413, "request_too_large", f"The request is larger than {BODY_LIMIT} bytes")
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "invalid_json", f"The request is no valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise RefusedError(400, "invalid_json", "The request must be a JSON object")
    return body


def _user(request: Request, body: dict[str, Any]) -> str | None:
    # Prefixes keep a session from meeting a user of the same name.
    named = body.get("user") or request.headers.get("x-user-id")
    if isinstance(named, str) and named:
        return assignment.named(named)
    session = request.headers.get("x-session-id")
    return f"session:{session}" if session else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
