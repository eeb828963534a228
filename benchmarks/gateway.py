"""What a proxy adds to an answer and how many it can give: our gateway and LiteLLM's proxy before the same upstream.

Both in one run on the same two cores, by turns: the proxy on one, upstream and load on the other, each a process. Ours
does its whole work: virtual keys with limits, receipts, a canary that splits the users, outcomes in SQLite or PostgreSQL;
no share of relevance scoring. LiteLLM is tuned: httptools, byte code, master key, a priced model, no access log, no cost
map from the network; after each of its turns the machine is left alone for a while, for it goes on logging. With
`--callback` there is a third: LiteLLM with our callback, which does the same work as our gateway.

`make litellm` installs LiteLLM. Added time is the proxy's median less the median of asking the upstream itself in the
same round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import sqlalchemy as sa

from benchmarks.gateway_load import Measured
from benchmarks.gateway_setup import (
    CONCURRENCIES,
    DELAYS_MS,
    OTHER_CORE,
    PROXY_CORE,
    QUIET,
    environment,
    gateway,
    litellm_config,
    pinned,
    seed,
    upstream,
)
from gateway_tuning.storage.database import open_database
from tests.wire import litellm

DIRECT, OURS, LITELLM, BRIDGED = "direct", "ours", "LiteLLM", "LiteLLM + callback"
GAP_S = 4.0


@dataclass(frozen=True)
class Cell:
    stream: bool
    delay_ms: int
    concurrency: int

    def __str__(self) -> str:
        return (
            f"{'stream' if self.stream else 'whole':6} {self.delay_ms:>2} ms, {self.concurrency:>2} at a time"
        )


@dataclass(frozen=True)
class Figures:
    p50: float
    p99: float
    first_p50: float
    per_s: float
    count: int
    cpu_ms: float | None


@dataclass(frozen=True)
class Place:
    """Where to ask: `model` has the delay in its name where it is the upstream's own."""

    port: int
    keys: list[str]
    own_names: bool
    process: psutil.Process | None = None

    def model(self, delay_ms: int) -> str:
        return f"served-{delay_ms}-a" if self.own_names else f"assistant-{delay_ms}"


def measure(place: Place, cell: Cell, *, seconds: float) -> Figures:
    asked = {
        "port": place.port,
        "model": place.model(cell.delay_ms),
        "stream": cell.stream,
        "concurrency": cell.concurrency,
        "seconds": seconds,
        "warm_up_s": min(1.0, seconds / 4),
        "keys": place.keys,
    }
    command = [*pinned(OTHER_CORE), sys.executable, "-m", "benchmarks.gateway_load"]
    cpu_before = cpu_s(place.process)
    ended = subprocess.run(
        command,
        input=json.dumps(asked).encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=seconds * 2 + 60,
    )
    found = Measured(**json.loads(ended.stdout))
    if found.failures or not found.whole_ms:
        raise SystemExit(f"{place} {cell}: {found.failures} requests failed, such as {found.failure}")
    cuts = statistics.quantiles(found.whole_ms, n=100) if len(found.whole_ms) > 1 else found.whole_ms * 99
    cpu = cpu_s(place.process)
    return Figures(
        p50=cuts[49],
        p99=cuts[98],
        first_p50=statistics.median(found.first_ms),
        per_s=found.requests_per_s,
        count=len(found.whole_ms),
        cpu_ms=None if cpu is None or cpu_before is None else (cpu - cpu_before) * 1000 / found.answered,
    )


def cpu_s(process: psutil.Process | None) -> float | None:
    """Of all its threads, since it began: what a request costs, whatever else the machine does."""
    if process is None:
        return None
    times = process.cpu_times()
    return times.user + times.system


def span(values: list[float], digits: int = 2) -> str:
    """Median and, of several rounds, the smallest and largest."""
    shown = f"{statistics.median(values):,.{digits}f}"
    return shown if len(values) == 1 else f"{shown} [{min(values):,.{digits}f}, {max(values):,.{digits}f}]"


def report(cells: list[Cell], found: dict[tuple[str, Cell], list[Figures]], proxies: list[str]) -> None:
    print(
        "\n| | proxy | added p50, ms | added p99, ms | added to the first byte, ms | requests/s | CPU a request, ms | answers |"
    )
    print("|---|---|---:|---:|---:|---:|---:|")
    for cell in cells:
        direct = found[DIRECT, cell]
        for name in (DIRECT, *proxies):
            rounds = found[name, cell]
            if name == DIRECT:
                columns = [
                    [one.p50 for one in rounds],
                    [one.p99 for one in rounds],
                    [one.first_p50 for one in rounds],
                ]
            else:
                pairs = list(zip(rounds, direct, strict=True))
                columns = [
                    [one.p50 - base.p50 for one, base in pairs],
                    [one.p99 - base.p99 for one, base in pairs],
                    [one.first_p50 - base.first_p50 for one, base in pairs],
                ]
            label = f"{name} (not added)" if name == DIRECT else name
            figures = " | ".join(span(column) for column in columns)
            rate = span([one.per_s for one in rounds], 0)
            cpu = [one.cpu_ms for one in rounds if one.cpu_ms is not None]
            spent = span(cpu) if cpu else ""
            print(
                f"| {cell} | {label} | {figures} | {rate} | {spent} | {sum(one.count for one in rounds):,} |"
            )
    for peer in proxies[1:]:
        print(f"\n{peer} against ours, a ratio for each round:")
        for cell in cells:
            bases, ours, theirs = (found[name, cell] for name in (DIRECT, OURS, peer))
            # Where the upstream's own noise hides what ours adds there is no ratio.
            added = [
                (their.p50 - base.p50) / (our.p50 - base.p50)
                for base, our, their in zip(bases, ours, theirs, strict=True)
                if our.p50 > base.p50
            ]
            rates = [our.per_s / their.per_s for our, their in zip(ours, theirs, strict=True)]
            told = (
                f"{span(added, 1)} times ours in {len(added)} of {len(ours)} rounds" if added else "unknown"
            )
            print(f"{cell}: added p50 {told}, ours {span(rates, 1)} times the requests/s")


def run(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
    upstream_port = stack.enter_context(upstream(folder))
    database_url = f"sqlite:///{folder / 'store.db'}"
    if arguments.postgresql:
        from tests.postgresql import running_postgresql

        database_url = stack.enter_context(running_postgresql(durable=True))
    engine = open_database(database_url)
    keys = seed(engine, upstream_port)
    env = environment(database_url, upstream_port, folder)
    port, pid = stack.enter_context(gateway(env, folder))
    places = {
        DIRECT: Place(upstream_port, ["unused"], own_names=True),
        OURS: Place(port, keys, own_names=False, process=psutil.Process(pid)),
    }
    quiet = folder / "logging.json"
    quiet.write_text(json.dumps(QUIET))
    for name in (LITELLM, BRIDGED)[: 2 if arguments.callback else 1]:
        proxy = stack.enter_context(
            litellm.running_litellm(
                litellm_config(upstream_port, callback=name == BRIDGED),
                folder / name.replace(" ", ""),
                env={**env, "LITELLM_LOG": "ERROR"},
                prefix=pinned(PROXY_CORE),
                arguments=("--num_workers", "1", "--log_config", str(quiet)),
            )
        )
        places[name] = Place(
            int(proxy.url.rpartition(":")[2]),
            [litellm.MASTER_KEY],
            own_names=False,
            process=psutil.Process(proxy.process.pid),
        )
    cells = [
        Cell(stream, delay, concurrency)
        for stream in (False, True)
        for delay in DELAYS_MS
        for concurrency in CONCURRENCIES
    ]
    for place in places.values():  # what is loaded with the first answers
        for cell in cells:
            measure(place, cell, seconds=0.5)
    found: dict[tuple[str, Cell], list[Figures]] = {}
    for number in range(arguments.rounds):
        for cell in cells:
            for name, place in places.items():
                is_peer = name in (LITELLM, BRIDGED)
                figures = measure(
                    place, cell, seconds=arguments.seconds if is_peer else arguments.seconds / 2
                )
                found.setdefault((name, cell), []).append(figures)
                print(
                    f"round {number + 1}: {cell} {name}: p50 {figures.p50:.2f} ms, {figures.per_s:,.0f}/s",
                    file=sys.stderr,
                )
                if is_peer:
                    time.sleep(GAP_S)
    report(cells, found, [name for name in places if name != DIRECT])
    time.sleep(1.0)
    with engine.connect() as connection:
        stored = connection.execute(sa.text("SELECT count(*) FROM outcomes")).scalar_one()
    print(
        f"\n{stored:,} outcomes stored in {engine.dialect.name}; load on the machine: {os.getloadavg()[0]:.1f}"
    )
    engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=9.0, help="of LiteLLM's turns; the others take half")
    parser.add_argument("--callback", action="store_true", help="also LiteLLM with our callback")
    parser.add_argument(
        "--postgresql", action="store_true", help="as store, with durable writes; default SQLite"
    )
    arguments = parser.parse_args()
    if not litellm.PYTHON.exists():
        raise SystemExit("LiteLLM's proxy is not installed: `make litellm`")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        run(arguments, Path(name), stack)


if __name__ == "__main__":
    main()
