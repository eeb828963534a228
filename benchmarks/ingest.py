"""Durable ingestion through the API beside the database's own inserts, in one run.

    .venv/bin/python -m benchmarks.ingest [--rounds 5] [--records 10000] [--growth 1000000]

Every figure is of records that are on disk when they are acknowledged. The API runs beside this process,
which sends the load. The peer is `executemany` of the same rows into the same table through
the same driver, committed as often as the API's batches are.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from gateway_tuning.feedback.subjects import subject_id
from gateway_tuning.feedback.submission import TokenPolicy, read_body
from gateway_tuning.processes import free_port
from gateway_tuning.storage.database import open_database
from tests.postgresql import new_database, running_postgresql

BATCH = 500
COLUMNS = (
    "tenant",
    "id",
    "subject_id",
    "type",
    "event_time",
    "revision",
    "received_at",
    "content_hash",
    "record",
)
KEY = "ab" * 32


def record(number: int) -> dict[str, Any]:
    """About 1.1 kB, as a help desk's feedback is."""
    return {
        "id": uuid.uuid4().hex,
        "user_id": f"user-{number % 9973}",
        "type": "thumbs_down",
        "prompt": f"Where is my order number {number}? I have been waiting for days now. " * 3,
        "response": "Sure! There are many possible things to consider in a situation like the one you describe. "
        * 5,
        "metadata": {"topic": "order status", "source": "help desk"},
        "satisfaction_score": -0.5,
        "timestamp": "2026-11-01T09:52:56Z",
        "conversation_id": f"c-{number}",
        "model_version": "support-1",
        "request": {"session_id": f"s-{number}", "prompt_tokens": 29, "response_tokens": 70},
    }


def batches(count: int) -> list[bytes]:
    made = [json.dumps([record(n) for n in range(start, start + BATCH)]) for start in range(0, count, BATCH)]
    return [text.encode() for text in made]


def rows_of(body: bytes) -> list[tuple[Any, ...]]:
    now = datetime.now(UTC)
    given = read_body(
        body, tenant="default", idempotency_key=None, now=now, max_records=BATCH, tokens=TokenPolicy()
    )
    return [
        (
            "default", item.record.id, subject_id(KEY, item.record.user_id or ""), item.record.type.value,
            item.version.event_time, -1, now, item.version.content_hash, item.content,
        )
        for item in given.items
    ]  # fmt: skip


@dataclass(frozen=True)
class Database:
    name: str
    url: str
    insert: Callable[[Sequence[Sequence[tuple[Any, ...]]]], float]  # batches -> seconds


def insert_statement(place: str) -> str:
    return f"INSERT INTO feedback ({', '.join(COLUMNS)}) VALUES ({', '.join([place] * len(COLUMNS))})"  # noqa: S608


def own_inserts_of_postgresql(url: str) -> Callable[[Sequence[Sequence[tuple[Any, ...]]]], float]:
    statement = insert_statement("%s")

    def insert(given: Sequence[Sequence[tuple[Any, ...]]]) -> float:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            started = time.perf_counter()
            for rows in given:
                connection.cursor().executemany(statement, rows)
                connection.commit()
            return time.perf_counter() - started

    return insert


def own_inserts_of_sqlite(path: Path) -> Callable[[Sequence[Sequence[tuple[Any, ...]]]], float]:
    statement = insert_statement("?")

    def insert(given: Sequence[Sequence[tuple[Any, ...]]]) -> float:
        plain = [[tuple(map(_plain, row)) for row in rows] for rows in given]
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA synchronous=FULL")
        started = time.perf_counter()
        for rows in plain:
            with connection:
                connection.executemany(statement, rows)
        seconds = time.perf_counter() - started
        connection.close()
        return seconds

    return insert


def _plain(value: Any) -> Any:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


@contextmanager
def api(url: str, folder: Path, workers: int) -> Iterator[tuple[int, str]]:
    """A server on a free port, and a key that may post feedback. Its limits are out of the way."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    environment |= {
        "GATEWAY_TUNING_HOME": str(folder),
        "GATEWAY_TUNING_DATABASE_URL": url,
        "GATEWAY_TUNING_FEEDBACK_PER_MINUTE": "100000000",
    }
    command = [sys.executable, "-m", "gateway_tuning.cli"]
    made = subprocess.run(
        [*command, "keys", "create", "--name", "benchmark", "--role", "FeedbackWriter"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    key = next(word for word in made.stdout.split() if word.startswith("gt_"))
    port = free_port()
    with (folder / "api.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "serve-api", "--port", str(port), "--workers", str(workers)],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        asyncio.run(_wait_for(port))
        yield port, key
    finally:
        server.terminate()
        server.wait(30)


async def _wait_for(port: int) -> None:
    for _ in range(300):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise TimeoutError("the API did not start")


async def _post_all(port: int, key: str, bodies: Sequence[bytes], connections: int) -> list[float]:
    """Seconds of each request; each connection sends its next when the last is answered."""
    seconds: list[float] = []
    waiting = iter(bodies)

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            started = time.perf_counter()
            writer.write(
                b"POST /api/model-training/feedback HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                + f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 201"), head
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            seconds.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(send() for _ in range(connections)))
    return seconds


def post_all(port: int, key: str, bodies: Sequence[bytes], connections: int) -> tuple[float, list[float]]:
    started = time.perf_counter()
    seconds = asyncio.run(_post_all(port, key, bodies, connections))
    return time.perf_counter() - started, sorted(seconds)


def compare(database: Database, port: int, key: str, rounds: int, records: int) -> None:
    ratios, own, ours, singles = [], [], [], []
    post_all(port, key, batches(records // 5), 4)  # warm
    for _ in range(rounds):
        bodies = batches(records)
        own.append(records / database.insert([rows_of(body) for body in batches(records)]))
        seconds, _ = post_all(port, key, bodies, 4)
        ours.append(records / seconds)
        ratios.append(ours[-1] / own[-1])
        one_each = [json.dumps(record(n)).encode() for n in range(records // 2)]
        took, each = post_all(port, key, one_each, 32)
        singles.append((len(each) / took, each[len(each) // 2] * 1e3, each[int(len(each) * 0.99)] * 1e3))
    print(f"\n{database.name}, {rounds} rounds of {records} records")
    print(f"  own executemany, records/s       {spread(own, '.0f')}")
    print(f"  API in batches of {BATCH}, records/s  {spread(ours, '.0f')}")
    print(f"  API / own                        {spread(ratios, '.2f')}")
    print(f"  single posts at 32, requests/s   {spread([one[0] for one in singles], '.0f')}")
    print(f"  p50 ms                           {spread([one[1] for one in singles], '.1f')}")
    print(f"  p99 ms                           {spread([one[2] for one in singles], '.1f')}")


def grow(database: Database, port: int, key: str, most: int, records: int) -> None:
    print(f"\n{database.name}: growth, by records stored before")
    stored, size = 0, 10_000
    while size <= most:
        while stored < size:
            database.insert([rows_of(body) for body in batches(min(10_000, size - stored))])
            stored += 10_000
        post_all(port, key, batches(records // 5), 4)  # warm again after the filling
        rates, p99 = [], []
        for _ in range(3):
            seconds, _ = post_all(port, key, batches(records), 4)
            rates.append(records / seconds)
            _, each = post_all(port, key, [json.dumps(record(n)).encode() for n in range(records // 2)], 32)
            p99.append(each[int(len(each) * 0.99)] * 1e3)
        print(f"  {size:>9,}: batches {spread(rates, '.0f')} records/s, single p99 {spread(p99, '.1f')} ms")
        size *= 10


def spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--growth", type=int, default=0, help="Grow the store to so many records")
    parser.add_argument("--workers", type=int, default=1, help="Processes of the API")
    parser.add_argument("--only", choices=("postgresql", "sqlite"))
    options = parser.parse_args()
    if options.only != "sqlite":
        with running_postgresql(durable=True) as server, tempfile.TemporaryDirectory() as folder:
            url = new_database(server)
            open_database(url).dispose()
            measure(Database("PostgreSQL", url, own_inserts_of_postgresql(url)), Path(folder), options)
    if options.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store.db"
            open_database(f"sqlite:///{path}").dispose()
            measure(
                Database("SQLite", f"sqlite:///{path}", own_inserts_of_sqlite(path)), Path(folder), options
            )


def measure(database: Database, folder: Path, options: argparse.Namespace) -> None:
    with api(database.url, folder, options.workers) as (port, key):
        compare(database, port, key, options.rounds, options.records)
        if options.growth:
            grow(database, port, key, options.growth, options.records)


if __name__ == "__main__":
    main()
