"""Asks one address as fast as it answers, on raw connections, and prints what it measured; started by gateway.py.

Standard input: a JSON object as `Load` has it. Standard output: one as `Measured` has it.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

QUESTION = (
    "I ordered a jacket two weeks ago and it has not come. Where is my order, and can I still cancel it? " * 2
)
USERS = 997


@dataclass(frozen=True, slots=True)
class Load:
    """Each of `concurrency` connections sends its next request when the last one is answered.

    Of `keys` each connection takes one. What is answered in the first `warm_up_s` is not counted.
    """

    port: int
    model: str
    stream: bool
    concurrency: int
    seconds: float
    warm_up_s: float
    keys: list[str]


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds of each answer in order of length, to its last byte and to the first of its body."""

    requests_per_s: float
    whole_ms: list[float]
    first_ms: list[float]
    answered: int  # the first ones too
    failures: int
    failure: str | None


class Client(asyncio.Protocol):
    def __init__(self, load: Load, number: int, until: float, counts_from: float) -> None:
        self.whole: list[float] = []
        self.first: list[float] = []
        self.failures = 0
        self.failure: str | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._number = number
        self._key = load.keys[number % len(load.keys)]
        self._until = until
        self._counts_from = counts_from
        self._asked = 0
        self.answered = 0

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        self._transport = transport
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.failures += 1
            self.failure = f"the connection was closed: {exc}"
            self.done.set_result(None)

    def _ask(self) -> None:
        self._asked += 1
        body = json.dumps(
            {
                "model": self._load.model,
                "user": f"user-{(self._number * 131 + self._asked) % USERS}",
                "messages": [{"role": "user", "content": QUESTION}],
                "stream": self._load.stream,
            }
        )
        self._read = bytearray()
        self._head_ends = 0
        self._length: int | None = None
        self._first_at: float | None = None
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self._key}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._started = time.perf_counter()
        self._transport.write((head + body).encode())

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._head_ends:
            found = self._read.find(b"\r\n\r\n")
            if found < 0:
                return
            self._head_ends = found + 4
            for line in bytes(self._read[:found]).lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    self._length = int(line.partition(b":")[2])
        if self._first_at is None and len(self._read) > self._head_ends:
            self._first_at = time.perf_counter()
        if self._is_whole():
            self._answered(time.perf_counter())

    def _is_whole(self) -> bool:
        if self._length is not None:
            return len(self._read) - self._head_ends >= self._length
        return self._read.endswith(b"0\r\n\r\n")

    def _answered(self, now: float) -> None:
        self.answered += 1
        if not self._read.startswith(b"HTTP/1.1 200") or (self._load.stream and b"[DONE]" not in self._read):
            self.failures += 1
            self.failure = self._read[:600].decode(errors="replace")
        elif now >= self._counts_from:
            self.whole.append((now - self._started) * 1000)
            self.first.append(((self._first_at or now) - self._started) * 1000)
        if now < self._until:
            self._ask()
        else:
            self.done.set_result(None)
            self._transport.close()


async def run(load: Load) -> Measured:
    loop = asyncio.get_running_loop()
    counts_from = time.perf_counter() + load.warm_up_s
    until = counts_from + load.seconds
    made = [
        await loop.create_connection(lambda number=n: Client(load, number, until, counts_from), "127.0.0.1", load.port)  # type: ignore[misc]
        for n in range(load.concurrency)
    ]  # fmt: skip
    clients = [client for _, client in made]
    await asyncio.gather(*(client.done for client in clients))
    taken = time.perf_counter() - counts_from
    whole = sorted(ms for client in clients for ms in client.whole)
    return Measured(
        requests_per_s=len(whole) / taken,
        whole_ms=whole,
        first_ms=sorted(ms for client in clients for ms in client.first),
        answered=sum(client.answered for client in clients),
        failures=sum(client.failures for client in clients),
        failure=next((client.failure for client in clients if client.failure), None),
    )


if __name__ == "__main__":
    import uvloop

    measured = asdict(uvloop.run(run(Load(**json.load(sys.stdin)))))
    with open(1, "wb", closefd=False) as whole:  # an unbuffered stdout may take a part of so much
        whole.write(json.dumps(measured).encode())
