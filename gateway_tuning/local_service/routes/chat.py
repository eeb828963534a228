"""`/v1/chat/completions`, answered by the model's own server."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from anyio import CancelScope, to_thread
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway_tuning.local_service.problems import RefusedError, body, log_defect
from gateway_tuning.local_service.routes.models import BASE
from gateway_tuning.local_service.servers import Address
from gateway_tuning.local_service.service import Service, Serving

router = APIRouter(prefix="/v1/chat/completions")

PASSED_ON = frozenset(
    {
        *("messages", "temperature", "top_p", "n", "stream", "stream_options", "stop", "max_tokens", "seed"),
        *(
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "top_logprobs",
            "response_format",
        ),
    }
)
IGNORED = frozenset(
    {
        *("model", "max_completion_tokens", "metadata", "store", "user", "service_tier", "safety_identifier"),
        *("prompt_cache_key", "parallel_tool_calls"),
    }
)
"""Known to OpenAI, and nothing that a local model could do differently; or read here."""

_FAILED = 500
_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_BROKEN_OFF = "The model's server broke off; try again"


@router.post("")
async def chat(service: Serving, request: Request) -> Response:
    asked = await _read(request)
    name = str(asked["model"])
    is_base = name.lower() == BASE
    adapter = None if is_base else await to_thread.run_sync(service.models.adapter, name)
    key = BASE if is_base else name
    address = await to_thread.run_sync(service.servers.take, key, adapter)
    turn = _Turn(service, key, address, shown_as=name)
    try:
        response = await turn.ask(_upstream_body(asked, address), request.app.state.http)
    except BaseException:
        await turn.end()
        raise
    if asked.get("stream"):
        return _Stream(turn, response)
    return await turn.answer(response)


class _Turn:
    """One request's use of a model's server, which is given back once."""

    def __init__(self, service: Service, key: str, address: Address, *, shown_as: str) -> None:
        self._service = service
        self._key = key
        self._address = address
        self._shown_as = shown_as
        self._is_broken = False

    async def ask(self, sent: dict[str, Any], client: httpx.AsyncClient) -> httpx.Response:
        """The open response. Raises RefusedError for what the server refuses."""
        request = client.build_request(
            "POST",
            f"{self._address.url}/chat/completions",
            json=sent,
            headers={"authorization": f"Bearer {self._address.key}"},
            timeout=_TIMEOUT,
        )
        try:
            response = await client.send(request, stream=True)
            if response.is_success:
                return response
            told = _refusal(await response.aread())
            await response.aclose()
        except httpx.TransportError as error:
            raise self._broken(error) from error
        if response.status_code >= _FAILED:
            raise RefusedError(503, _BROKEN_OFF)
        raise RefusedError(400, told)

    async def answer(self, response: httpx.Response) -> Response:
        try:
            content = json.loads(await response.aread())
        except (httpx.TransportError, ValueError) as error:
            raise self._broken(error) from error
        finally:
            await response.aclose()
            await self.end()
        return JSONResponse(self._renamed(content))

    async def events(self, response: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for line in response.aiter_lines():
                data = line.removeprefix("data: ")
                if data in {line, "[DONE]"}:
                    yield f"{line}\n".encode()
                else:
                    yield f"data: {json.dumps(self._renamed(json.loads(data)))}\n".encode()
        except (httpx.TransportError, ValueError) as error:
            self._broken(error)
            yield f"data: {json.dumps(body(_FAILED, _BROKEN_OFF))}\n\n".encode()

    async def end(self) -> None:
        servers = self._service.servers
        if self._is_broken:
            await to_thread.run_sync(lambda: servers.give_back(self._key, self._address, is_broken=True))
        else:
            servers.give_back(self._key, self._address)

    def _broken(self, error: Exception) -> RefusedError:
        log_defect(error)
        self._is_broken = True
        return RefusedError(503, _BROKEN_OFF)

    def _renamed(self, content: dict[str, Any]) -> dict[str, Any]:
        """Under the name that was asked for, and without what llama.cpp adds."""
        return {
            name: self._shown_as if name == "model" else value
            for name, value in content.items()
            if name not in {"timings", "__verbose"}
        }


class _Stream(StreamingResponse):
    """Gives the server back itself: the events of a client that has gone already are never begun, so never ended."""

    def __init__(self, turn: _Turn, response: httpx.Response) -> None:
        super().__init__(turn.events(response), media_type="text/event-stream")
        self._turn = turn
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await self._response.aclose()
                await self._turn.end()


async def _read(request: Request) -> dict[str, Any]:
    try:
        asked = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "The body is no JSON") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("model"), str):
        raise RefusedError(400, "model: name the model that is to answer", param="model")
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise RefusedError(400, "messages: send one message or more", param="messages")
    if asked.get("tools"):
        raise RefusedError(400, "tools: the local model calls no tools; leave them out", param="tools")
    known = PASSED_ON | IGNORED | {"tools", "tool_choice"}
    unknown = next((name for name in asked if name not in known), None)
    if unknown is not None:
        raise RefusedError(400, f"Unrecognized request argument supplied: {unknown[:64]}", param=unknown[:64])
    return asked


def _upstream_body(asked: dict[str, Any], address: Address) -> dict[str, Any]:
    """Never more than is known: the server also takes arguments that reach other requests' state."""
    sent = {name: value for name, value in asked.items() if name in PASSED_ON and value is not None}
    if asked.get("max_completion_tokens") is not None:
        sent["max_tokens"] = asked["max_completion_tokens"]
    sent["messages"] = [
        {**message, "role": "system"} if message.get("role") == "developer" else message
        for message in asked["messages"]
    ]
    return sent | dict(address.extra_body)


def _refusal(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "The model's server refused the request"
