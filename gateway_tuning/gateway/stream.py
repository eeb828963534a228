"""Streamed answers: server-sent events pass through with the model's logical name set back."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway_tuning.gateway.answers import AnswerText, Said
from gateway_tuning.gateway.replies import error_body
from gateway_tuning.gateway.upstream import UpstreamError, failures_named

_LONGEST_LINE = 1 << 20  # bytes


class Finish(Protocol):
    """Records the outcome of an answer; the first call counts."""

    def __call__(self, error: str | None = None, usage: Any = None, said: Said | None = None) -> None: ...


class EventRewriter:
    """Bytes in, bytes out, whole lines at a time. `complete` says that the model came to its end."""

    def __init__(self, model: str) -> None:
        self.done = False
        self.complete = False
        self.error: str | None = None
        self.usage: Any = None
        self.text = AnswerText()
        self._model = model
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Raises UpstreamError on data that is no JSON."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise UpstreamError(502, "invalid_event", "The model sent an event without an end")
        return b"".join(self._line(line) for line in lines)

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"data:"):
            return line + b"\n"
        data = line[len(b"data:") :].strip()
        if data == b"[DONE]":
            self.done = self.complete = True
            return line + b"\n"
        try:
            event = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise UpstreamError(502, "invalid_event", "The model sent an event that is no JSON") from error
        if not isinstance(event, dict):
            raise UpstreamError(502, "invalid_event", "The model sent an event that is no JSON object")
        self._note(event)
        return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n"

    def _note(self, event: dict[str, Any]) -> None:
        if "model" in event:
            event["model"] = self._model
        if event.get("error"):
            self.error = "error_event"
        self.usage = event.get("usage") or self.usage
        choices = event.get("choices")
        if isinstance(choices, list):
            self.complete |= any(isinstance(one, dict) and bool(one.get("finish_reason")) for one in choices)
            self.text.add_deltas(choices)


class RelayedStream(Response):
    """An upstream's open event stream as the reply. Ends with the upstream or with the client."""

    def __init__(
        self, upstream: aiohttp.ClientResponse, model: str, headers: Mapping[str, str], finish: Finish
    ) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self.media_type = "text/event-stream"
        self.init_headers({**headers, "cache-control": "no-store"})
        del self.headers["content-length"]  # nobody knows yet
        self._upstream = upstream
        self._events = EventRewriter(model)
        self._finish = finish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        relay = asyncio.create_task(self._relay(send))
        client_gone = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            await asyncio.wait({relay, client_gone}, return_when=asyncio.FIRST_COMPLETED)
            if relay.done():
                relay.result()
        finally:
            relay.cancel()
            client_gone.cancel()
            await asyncio.gather(relay, client_gone, return_exceptions=True)
            self._upstream.close()
            self._finish("interrupted")  # does nothing where the answer came to its end

    async def _relay(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async with failures_named():
                async for chunk in self._upstream.content.iter_any():
                    events = self._events.feed(chunk)
                    if self._events.done:
                        break
                    if events:
                        await send({"type": "http.response.body", "body": events, "more_body": True})
                else:
                    events = b""
            last = events + self._end()
        except UpstreamError as error:
            self._finish(error.code)
            body = json.dumps(error_body(error.status, error.code, error.message)).encode()
            last = b"data: " + body + b"\n\n"
        # The outcome is recorded before the client sees the end, so that it can rate the answer at once.
        await send({"type": "http.response.body", "body": last, "more_body": False})

    def _end(self) -> bytes:
        if not self._events.complete and self._events.error is None:
            raise UpstreamError(502, "cut_off", "The model's answer broke off")
        said = None if self._events.error else self._events.text.said()
        self._finish(self._events.error, self._events.usage, said)
        return b"\n" if self._events.done else b"data: [DONE]\n\n"


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
