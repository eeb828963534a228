"""What a client sent, checked as far as the gateway must understand it. The rest goes to the model unread."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from gateway_tuning.gateway.replies import RefusedError
from gateway_tuning.rollout import assignment

BODY_LIMIT = 1 << 20  # bytes

Headers = Mapping[bytes, bytes]  # names in lower case; of a name that came twice the last one


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`model` is what the client asked for, `served` the model of the registry that it stands for.

    `user` is None for an anonymous request: it takes part in no comparison. `traceparent` is W3C's, as it came.
    """

    body: dict[str, Any]
    model: str
    served: str
    user: str | None
    stream: bool
    simulated: bool
    traceparent: str | None = None

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


def chat_request(body: dict[str, Any], headers: Headers, *, served: str) -> ChatRequest:
    """Raises RefusedError."""
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise RefusedError(400, "missing_messages", "The request must have a list of messages")
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):  # a model might take it for true
        raise RefusedError(400, "invalid_stream", "'stream' must be true or false")
    traceparent = headers.get(b"traceparent")
    return ChatRequest(
        body=body,
        model=body["model"],
        served=served,
        user=_user(headers, body),
        stream=stream is True,
        simulated=headers.get(b"x-gateway-simulated") == b"1",
        traceparent=None if traceparent is None else traceparent.decode("latin-1"),
    )


def asked_model(body: dict[str, Any]) -> str:
    """Raises RefusedError."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RefusedError(400, "missing_model", "The request must name a model")
    return model


async def read_body(receive: Receive) -> bytes:
    """Raises RefusedError with 413, ClientDisconnect where the client left."""
    message = await receive()
    raw: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body") and len(raw) <= BODY_LIMIT:
        return raw
    whole = bytearray(raw)
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if len(whole) > BODY_LIMIT:
            raise RefusedError(413, "request_too_large", f"The request is larger than {BODY_LIMIT} bytes")
        if not message.get("more_body"):
            return bytes(whole)
        message = await receive()
        whole += message.get("body", b"")


def read_json(raw: bytes) -> dict[str, Any]:
    """The body as a JSON object. Raises RefusedError with 400."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = _read_slowly(raw)
    if not isinstance(body, dict):
        raise RefusedError(400, "invalid_json", "The request must be a JSON object")
    return body


def _read_slowly(raw: bytes) -> Any:
    """For lone surrogates, which clients cut off from texts; the fast reader refuses them."""
    try:
        return json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "invalid_json", f"The request is no valid JSON: {error}") from error


def _user(headers: Headers, body: dict[str, Any]) -> str | None:
    # Prefixes keep a session from meeting a user of the same name.
    named = body.get("user")
    if isinstance(named, str) and named:
        return assignment.named(named)
    header = headers.get(b"x-user-id")
    if not named and header:
        return assignment.named(_text(header))
    session = headers.get(b"x-session-id")
    return f"session:{_text(session)}" if session else None


def _text(header: bytes) -> str:
    """As UTF-8, so that a header names the same user as the body; as Latin-1 where it is none."""
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
