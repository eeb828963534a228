"""Scripted faults between a client and a real HTTP server: an ASGI middleware, to be the outermost.

    faults = Faults()
    faults.on("POST", "/jobs$", lost_reply())                   # once: the server does it, nobody hears of it
    faults.on("GET", "/jobs/", status(429, retry_after=3), times=2)
    with running(faults.around(app)) as url: ...                # tests.wire.server

The first rule that fits a request is used up by it. `faults.requests` has every request that came, in order.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Fault = Callable[[App, Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str


@dataclass(slots=True)
class Rule:
    method: str
    path: re.Pattern[str]
    fault: Fault
    left: int

    def fits(self, request: Request) -> bool:
        return self.left > 0 and self.method in {request.method, "*"} and bool(self.path.search(request.path))


@dataclass(slots=True)
class Faults:
    """Rules are added by the test while the server runs in a thread of its own."""

    rules: list[Rule] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def on(self, method: str, path: str, fault: Fault, *, times: int = 1) -> None:
        """`method` may be `*`; `path` is searched for as a regular expression."""
        self.rules.append(Rule(method, re.compile(path), fault, times))

    def clear(self) -> None:
        self.rules.clear()
        self.requests.clear()

    def count(self, method: str, path: str) -> int:
        """Requests that came, those that met a fault included."""
        return sum(one.method == method and bool(re.search(path, one.path)) for one in self.requests)

    def around(self, app: App) -> App:
        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            request = Request(scope["method"], scope["path"])
            self.requests.append(request)
            rule = next((rule for rule in self.rules if rule.fits(request)), None)
            if rule is None:
                return await app(scope, receive, send)
            rule.left -= 1
            return await rule.fault(app, scope, receive, send)

        return faulty


def status(
    code: int, *, retry_after: float | None = None, location: str | None = None, body: object = None
) -> Fault:
    """The server answers so and does nothing."""
    content = json.dumps({"error": {"message": f"scripted {code}"}} if body is None else body).encode()
    told = {"retry-after": None if retry_after is None else f"{retry_after:g}", "location": location}
    extra = tuple((name.encode(), value.encode()) for name, value in told.items() if value is not None)

    async def answer(_app: App, _scope: Scope, receive: Receive, send: Send) -> None:
        await _read(receive)
        await _reply(send, code, content, extra)

    return answer


def lost_request() -> Fault:
    """The connection drops before the server does anything."""

    async def drop(_app: App, _scope: Scope, receive: Receive, send: Send) -> None:
        await _read(receive)
        await _hang_up(send)

    return drop


def lost_reply() -> Fault:
    """The server does what was asked, and the connection drops before the answer."""

    async def drop(app: App, scope: Scope, receive: Receive, send: Send) -> None:
        await _answer_of(app, scope, receive)
        await _hang_up(send)

    return drop


def failed_reply(code: int = 500) -> Fault:
    """The server does what was asked and says that it failed."""

    async def lie(app: App, scope: Scope, receive: Receive, send: Send) -> None:
        await _answer_of(app, scope, receive)
        await _reply(send, code, b'{"error": {"message": "scripted failure after the work"}}')

    return lie


def truncated(*, says_so: bool = False) -> Fault:
    """Half of the answer. With `says_so` its length is that of the half, so that only the JSON is broken."""

    async def halve(app: App, scope: Scope, receive: Receive, send: Send) -> None:
        code, content = await _answer_of(app, scope, receive)
        half = content[: len(content) // 2]
        length = len(half if says_so else content)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": half, "more_body": not says_so})
        if not says_so:
            await _hang_up(send)

    return halve


def slow(seconds: float) -> Fault:
    """The server does what was asked and answers late."""

    async def wait(app: App, scope: Scope, receive: Receive, send: Send) -> None:
        code, content = await _answer_of(app, scope, receive)
        await asyncio.sleep(seconds)
        await _reply(send, code, content)

    return wait


async def _read(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        pass


async def _reply(send: Send, code: int, content: bytes, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        *extra,
    ]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _answer_of(app: App, scope: Scope, receive: Receive) -> tuple[int, bytes]:
    code, content = 500, b""

    async def keep(message: dict[str, Any]) -> None:
        nonlocal code, content
        code = message.get("status", code)
        content += message.get("body", b"")

    await app(scope, receive, keep)
    return code, content


async def _hang_up(send: Send) -> None:
    """`send` is uvicorn's own: its request knows the connection."""
    send.__self__.transport.abort()  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)  # uvicorn hears of it, and adds no answer
