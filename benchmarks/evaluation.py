"""How long an evaluation takes to ask, beside what the server's latency alone would take.

A server in a process of its own answers every chat after the same time and works on all of them at once. What is
above `requests / concurrency x latency` is ours: the client, the pace, and the store that has every answer before the
next question goes out. A bare client, which writes ready-made requests to sockets and looks for the end of each reply,
does the same by turns: what it takes is the machine's. Each repetition is a new evaluation in the same store.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from gateway_tuning.evaluation.evaluate import System, choose, evaluate, questions_of
from gateway_tuning.evaluation.running.run import ask_all
from gateway_tuning.evaluation.running.store import PredictionStore
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.processes import free_port
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.storage.database import open_database

ALLOWED = 1.2  # of what the latency alone takes
ANSWER = "Parcel left the warehouse this morning and should reach you within two working days."


def examples_of(number: int) -> list[Example]:
    return [
        Example(
            id=f"example-{n:06}",
            kind=ExampleKind.DEMONSTRATION,
            messages=(
                Turn("system", "You answer customers of a shop."),
                Turn("user", f"Where is parcel {n} that I ordered last week, and can I change its address?"),
            ),
            answer=ANSWER.replace("Parcel", f"Parcel {n}"),
            rejected=None,
            desirable=None,
            feedback_ids=(f"f-{n}",),
            feedback_types=("correction",),
            last_feedback_at=datetime(2026, 1, 1, tzinfo=UTC),
            group_id=f"group-{n // 2}",
            split="test",
        )
        for n in range(number)
    ]


def serve(port: int, latency_s: float) -> None:
    """Until it is stopped."""
    import uvicorn

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del scope
        while (await receive()).get("more_body"):
            pass
        await asyncio.sleep(latency_s)
        said = {"role": "assistant", "content": ANSWER}
        choice = {"index": 0, "finish_reason": "stop", "message": said}
        usage = {"prompt_tokens": 40, "completion_tokens": 15, "total_tokens": 55}
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        body = json.dumps(reply | {"usage": usage}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off")


def systems_at(url: str, roles: Sequence[Role]) -> list[System]:
    return [System(role, f"version-{role.value}", Endpoint(url, f"m-{role.value}")) for role in roles]


def seconds_to_ask(
    name: str, number: int, systems: Sequence[System], settings: EvaluationSettings, engine: sa.Engine | None
) -> float:
    """Of all questions of an evaluation; with an engine every answer is stored."""
    questions = questions_of(choose(examples_of(number), settings), systems)
    store = None if engine is None else PredictionStore(engine, name, "default", "ds-1")
    start = time.perf_counter()
    said = asyncio.run(ask_all(questions, settings, store))
    seconds = time.perf_counter() - start
    assert all(one.text is not None for one in said.values()), "the server failed"
    assert store is None or len(store.read()) == len(questions)
    return seconds


def seconds_bare(number: int, concurrency: int, port: int) -> float:
    """Of as many requests, without anything that an evaluation needs."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 150}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body

    async def work(left: list[None]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left:
            left.pop()
            writer.write(request)
            headers = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(headers.partition(b"content-length:")[2].split()[0]))
        writer.close()

    async def all_of_them() -> None:
        left = [None] * number
        await asyncio.gather(*(work(left) for _ in range(concurrency)))

    start = time.perf_counter()
    asyncio.run(all_of_them())
    return time.perf_counter() - start


def measure(options: argparse.Namespace, port: int, engine: sa.Engine) -> None:
    settings = EvaluationSettings(max_examples=options.prompts, concurrency=options.concurrency)
    url = f"http://127.0.0.1:{port}/v1"
    print(
        f"{options.concurrency} at a time, a server that takes {options.latency_ms} ms, median (least, most) of "
        f"{options.repeats}; SQLite on {options.folder or tempfile.gettempdir()}\n"
    )
    for label, roles, stored in (
        ("one system, nothing kept", [Role.CANDIDATE], False),
        ("one system, every answer stored", [Role.CANDIDATE], True),
        ("candidate and stable, every answer stored", [Role.CANDIDATE, Role.STABLE], True),
    ):
        systems, requests = systems_at(url, roles), options.prompts * len(roles)
        taken: list[float] = []
        bare: list[float] = []
        cpu: list[float] = []
        for n in range(options.repeats + 1):
            used = time.process_time()
            taken.append(
                seconds_to_ask(f"{label}-{n}", options.prompts, systems, settings, engine if stored else None)
            )
            cpu.append(time.process_time() - used)
            bare.append(seconds_bare(requests, options.concurrency, port))
        # The first one loads the client.
        tell(label, requests, options, taken=taken[1:], bare=bare[1:], cpu=cpu[1:])
    start = time.perf_counter()
    whole = evaluate(examples_of(options.prompts), systems_at(url, [Role.CANDIDATE, Role.STABLE]), settings)
    seconds = time.perf_counter() - start
    print(
        f"whole evaluation of both, scored and compared by {', '.join(whole.result.cards)}: {seconds:.1f} s"
    )


def tell(
    label: str,
    requests: int,
    options: argparse.Namespace,
    *,
    taken: Sequence[float],
    bare: Sequence[float],
    cpu: Sequence[float],
) -> None:
    alone = requests / options.concurrency * options.latency_ms / 1000
    median = statistics.median(taken)
    verdict = "within" if median <= ALLOWED * alone else "ABOVE"
    print(
        f"{label}: {requests} requests in {median:.2f} s ({min(taken):.2f}, {max(taken):.2f}), "
        f"{1000 * statistics.median(cpu) / requests:.1f} ms of CPU each\n"
        f"    latency alone {alone:.2f} s: {median / alone:.2f} times that, {verdict} {ALLOWED:g}\n"
        f"    bare client {statistics.median(bare):.2f} s ({min(bare):.2f}, {max(bare):.2f}): "
        f"{median / statistics.median(bare):.2f} times that",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--latency-ms", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the store lies; a temporary folder when left out")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, options.latency_ms / 1000)
        return
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.evaluation", "--serve", str(port)]
    server = subprocess.Popen([*command, "--latency-ms", str(options.latency_ms)])
    try:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            engine = open_database(f"sqlite:///{folder}/store.db")
            wait_for(port)
            measure(options, port, engine)
            engine.dispose()
    finally:
        server.terminate()
        server.wait()


def wait_for(port: int) -> None:
    import socket

    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"the server on port {port} did not start")


if __name__ == "__main__":
    main()
