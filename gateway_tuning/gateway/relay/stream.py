"""Streamed answers: server-sent events pass through with the model's logical name set back."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway_tuning.gateway.relay.answers import AnswerText, Said
from gateway_tuning.gateway.relay.upstream import UpstreamError, decode, error_event, failures_named
from gateway_tuning.gateway.replies import error_body, to_json
from gateway_tuning.registry.endpoint import Endpoint

_LONGEST_LINE = 1 << 20  # bytes
_GRACE_S = 1.0  # so that a model that takes too long is told from a client that does not read


class Finish(Protocol):
    """Records the outcome of an answer; the first call counts."""

    def __call__(self, error: str | None = None, usage: Any = None, said: Said | None = None) -> None: ...


class EventRewriter:
    """Bytes in, bytes out, whole lines at a time. `complete` says that the model came to its end.

    `first_token` is called once, at the first word or call of a tool. With `keep` the answer's text is held. With
    `hide_usage` the client does not see the usage, for which it did not ask.
    """

    def __init__(
        self,
        model: str,
        *,
        first_token: Callable[[], None] | None = None,
        keep: bool = False,
        hide_usage: bool = False,
    ) -> None:
        self.begun = False  # an event has come
        self.done = False
        self.complete = False
        self.error: Any = None
        self.usage: Any = None
        self.text = AnswerText(keep=keep)
        self._model = model
        self._first_token = first_token
        self._hide_usage = hide_usage
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Raises UpstreamError on data that is no JSON."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise UpstreamError(502, "invalid_event", "The model sent an event without an end")
        return b"".join([self._line(line) for line in lines])

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"data:"):
            return line + b"\n"
        self.begun = True
        data = line[len(b"data:") :].strip()
        if data == b"[DONE]":
            self.done = self.complete = True
            return line + b"\n"
        try:
            event = decode(data)
        except (ValueError, RecursionError) as error:
            raise UpstreamError(502, "invalid_event", "The model sent an event that is no JSON") from error
        if not isinstance(event, dict):
            raise UpstreamError(502, "invalid_event", "The model sent an event that is no JSON object")
        self._note(event)
        if (
            self._hide_usage
            and event.pop("usage", None)
            and event.get("choices") == []
            and "error" not in event
        ):
            return b""  # nothing but the usage: the empty line that follows is no event
        return b"data: " + to_json(event) + b"\n"

    def _note(self, event: dict[str, Any]) -> None:
        if "model" in event:
            event["model"] = self._model
        self.error = self.error or event.get("error")
        self.usage = event.get("usage") or self.usage
        choices = event.get("choices")
        if isinstance(choices, list):
            self.complete |= any(isinstance(one, dict) and bool(one.get("finish_reason")) for one in choices)
            self.text.add_deltas(choices)
            if self.text.begun and self._first_token is not None:
                self._first_token()
                self._first_token = None


def asking_for_usage(body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
    """A body whose stream ends with its tokens, unless the client or the endpoint has a word on that."""
    if "stream_options" in body or "stream_options" in endpoint.extra_body:
        return body
    return {**body, "stream_options": {"include_usage": True}}


async def first_events(upstream: aiohttp.ClientResponse, events: EventRewriter) -> bytes:
    """Waits for the first event: until then nothing was promised to the client. Raises UpstreamError."""
    if upstream.content_type != "text/event-stream":
        raise UpstreamError(502, "no_stream", "The model's endpoint does not stream")
    out = b""
    async with failures_named():
        async for chunk in upstream.content.iter_any():
            out += events.feed(chunk)
            if events.begun:
                break
    if not events.begun:
        raise UpstreamError(502, "cut_off", "The model's answer broke off before it began")
    if events.error and not events.text.begun:
        raise error_event(events.error)
    return out


class RelayedStream(Response):
    """An upstream's open event stream as the reply. Ends with the upstream or with the client."""

    def __init__(
        self,
        upstream: aiohttp.ClientResponse,
        events: EventRewriter,
        first: bytes,
        headers: Mapping[str, str],
        finish: Finish,
        *,
        within_s: float,
    ) -> None:
        """`first` is what `events` made of the answer so far.

        `within_s` later the client must have taken all of it: one that reads nothing would hold the stream for ever.
        """
        self.status_code = 200
        self.background = None
        self.body = b""
        self.media_type = "text/event-stream"
        self.init_headers({**headers, "cache-control": "no-store"})
        del self.headers["content-length"]  # nobody knows yet
        self._upstream = upstream
        self._events = events
        self._first = first
        self._finish = finish
        self._within_s = within_s + _GRACE_S

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        relay = asyncio.create_task(self._relay(send))
        client_gone = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            await asyncio.wait(
                {relay, client_gone}, timeout=self._within_s, return_when=asyncio.FIRST_COMPLETED
            )
            if relay.done():
                relay.result()
        finally:
            relay.cancel()
            client_gone.cancel()
            self._upstream.close()
            self._ended("interrupted")  # does nothing where the answer came to its end
            await asyncio.gather(relay, client_gone, return_exceptions=True)

    async def _relay(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        events = self._first
        try:
            async with failures_named():
                if not self._events.done:
                    await _more(send, events)
                    events = await self._rest(send)
            last = events + self._end()
        except UpstreamError as error:
            self._ended(error.code)
            # The model may have left off within an event, which must not take this one in.
            last = b"\ndata: " + to_json(error_body(error.status, error.code, error.message)) + b"\n\n"
        # The outcome is recorded before the client sees the end, so that it can rate the answer at once.
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _rest(self, send: Send) -> bytes:
        """Passes everything on but the events that end the stream."""
        async for chunk in self._upstream.content.iter_any():
            events = self._events.feed(chunk)
            if self._events.done:
                return events
            await _more(send, events)
        return b""

    def _end(self) -> bytes:
        if not self._events.complete and not self._events.error:
            raise UpstreamError(502, "cut_off", "The model's answer broke off")
        self._ended("error_event" if self._events.error else None)
        return b"\n" if self._events.done else b"\ndata: [DONE]\n\n"

    def _ended(self, error: str | None) -> None:
        self._finish(error, self._events.usage, self._events.text.said())


async def _more(send: Send, events: bytes) -> None:
    if events:
        await send({"type": "http.response.body", "body": events, "more_body": True})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
