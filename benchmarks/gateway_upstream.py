"""A model server that does almost nothing, so that what is measured is the proxy before it; started by gateway.py.

HTTP/1.1 by hand on asyncio: `python -m benchmarks.gateway_upstream PORT`. A model's name says how long it takes to begin:
`served-50-a` waits 50 ms. Streams have 20 parts and their usage, without a pause between them.
"""

import asyncio
import json
import os
import sys
from typing import Any

from gateway_tuning.processes import when_parent_ends

PARTS = 20
WORDS = "a few words "
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: "


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def whole(model: str) -> bytes:
    message = {"role": "assistant", "content": WORDS * PARTS}
    body = _json(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100},
        }
    )
    return _HEAD + f"application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def stream(model: str) -> list[bytes]:
    """Chunks of the body, as they are sent."""
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    usage = {"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100}
    parts = [
        {**chunk, "choices": [{"index": 0, "delta": {"content": WORDS}, "finish_reason": None}]}
        for _ in range(PARTS)
    ]
    parts.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    parts.append({**chunk, "choices": [], "usage": usage})
    events = [b"data: " + _json(part) + b"\n\n" for part in parts] + [b"data: [DONE]\n\n"]
    return [f"{len(event):x}\r\n".encode() + event + b"\r\n" for event in events]


class Upstream(asyncio.Protocol):
    def __init__(self) -> None:
        self._read = b""

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, rest = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"POST"):  # a proxy that looks whether anybody is here
            self._read = b""
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        if len(rest) < length:
            return
        body, self._read = json.loads(rest[:length]), rest[length:]
        delay_ms = int(body["model"].split("-")[1])
        if delay_ms:
            asyncio.get_running_loop().call_later(delay_ms / 1000, self._answer, body)
        else:
            self._answer(body)

    def _answer(self, body: dict[str, object]) -> None:
        if self._transport.is_closing():
            return
        model = str(body["model"])
        if not body.get("stream"):
            self._transport.write(whole(model))
            return
        self._transport.write(_HEAD + b"text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for part in stream(model):
            self._transport.write(part)
        self._transport.write(b"0\r\n\r\n")


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    when_parent_ends(lambda: os._exit(0))
    uvloop.run(main(int(sys.argv[1])))
