"""The store, the gateway and LiteLLM's configuration that gateway.py compares; each proxy has its core."""

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from gateway_tuning.gateway.door.keys import GatewayKeyStore
from gateway_tuning.processes import free_port, spawn, stop
from gateway_tuning.storage.tables import aliases, canaries, endpoints
from tests.wire import litellm

DELAYS_MS = (0, 50)
CONCURRENCIES = (1, 32)
CALLBACK = "gateway_tuning.bridges.litellm.instance"
SHARE = 0.1
MOST_A_MINUTE = 100_000  # as much as one key may have
START_S = 60
# As uvicorn's `access_log=False`, which LiteLLM's command line does not have.
QUIET = {"version": 1, "disable_existing_loggers": False, "loggers": {"uvicorn.access": {"propagate": False}}}
UPSTREAM_KEY = "BENCHMARK_UPSTREAM_KEY"
PROXY_CORE, OTHER_CORE = "0", "1"

Child = subprocess.Popen[bytes]


def pinned(core: str) -> tuple[str, ...]:
    enough = shutil.which("taskset") is not None and (os.cpu_count() or 1) > 1
    return ("taskset", "-c", core) if enough else ()


def on_core(
    core: str, module: str, arguments: list[str], *, log: Path, env: Mapping[str, str] | None = None
) -> Child:
    """Ends with the benchmark, however that ends."""
    process = spawn(module, arguments, log=log, env=env)
    if pinned(core):
        os.sched_setaffinity(process.pid, {int(core)})  # before it has a second thread
    return process


@contextmanager
def upstream(folder: Path) -> Iterator[int]:
    port = free_port()
    process = on_core(OTHER_CORE, "benchmarks.gateway_upstream", [str(port)], log=folder / "upstream.log")
    try:
        _wait_for_answer(f"http://127.0.0.1:{port}/", process, folder / "upstream.log")
        yield port
    finally:
        stop(process)


def seed(engine: sa.Engine, upstream_port: int) -> list[str]:
    """Two versions of each model, a canary between them, and keys whose limits count and are never reached."""
    now = datetime.now(UTC)
    url = f"http://127.0.0.1:{upstream_port}/v1"
    with engine.begin() as connection:
        for delay in DELAYS_MS:
            model = f"assistant-{delay}"
            for version in ("a", "b"):
                row = {"version_id": f"{model}-{version}", "served_model": f"served-{delay}-{version}"}
                connection.execute(
                    sa.insert(endpoints).values(
                        **row, base_url=url, extra_body={}, api_key_env=UPSTREAM_KEY, updated_at=now
                    )
                )
            alias = {"model": model, "alias": "stable", "version_id": f"{model}-a", "updated_at": now}
            connection.execute(sa.insert(aliases).values(alias))
            pinned_to = {"model": model, "candidate": f"{model}-b", "control": f"{model}-a", "policy": {}}
            state = {"state": "running", "stage": 0, "share": SHARE, "looks": 0, "reasons": []}
            times = {"started_at": now, "stage_started_at": now}
            connection.execute(
                sa.insert(canaries).values(
                    id=f"canary-{delay}", tenant="default", salt="salt", **pinned_to, **state, **times
                )
            )
    store = GatewayKeyStore(engine)
    limits = {"requests_per_minute": MOST_A_MINUTE, "tokens_per_minute": 1_000_000_000}
    return [
        store.create("default", f"benchmark-{n}", by="benchmark", now=now, **limits)[1]
        for n in range(max(CONCURRENCIES))
    ]


def environment(database_url: str, upstream_port: int, folder: Path) -> dict[str, str]:
    return {
        "GATEWAY_TUNING_HOME": str(folder),
        "GATEWAY_TUNING_DATABASE_URL": database_url,
        "GATEWAY_TUNING_GATEWAY_REQUIRE_KEYS": "true",
        "GATEWAY_TUNING_GATEWAY_UPSTREAMS": f"127.0.0.1:{upstream_port}={UPSTREAM_KEY}",
        "GATEWAY_TUNING_RATING_TOKEN_KEY": "benchmark" * 8,
        "GATEWAY_TUNING_RELEVANCE_SHARE": "0",
        UPSTREAM_KEY: "unused",
    }


@contextmanager
def gateway(env: Mapping[str, str], folder: Path) -> Iterator[tuple[int, int]]:
    """Its port and its process."""
    port = free_port()
    arguments = ["serve-gateway", "--port", str(port), "--exit-with-parent"]
    process = on_core(PROXY_CORE, "gateway_tuning.cli", arguments, log=folder / "gateway.log", env=env)
    try:
        _wait_for_answer(f"http://127.0.0.1:{port}/healthz", process, folder / "gateway.log")
        yield port, process.pid
    finally:
        stop(process)


def _wait_for_answer(url: str, process: Child, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except urllib.error.HTTPError:  # an answer too
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"nobody answers at {url}: {log.read_text()[-2000:]}") from None
        time.sleep(0.1)


def litellm_config(upstream_port: int, *, callback: bool) -> dict[str, object]:
    def deployment(name: str, delay: int, version: str) -> dict[str, object]:
        return {
            "model_name": name,
            "litellm_params": {
                "model": f"openai/served-{delay}-{version}",
                "api_base": f"http://127.0.0.1:{upstream_port}/v1",
                "api_key": "unused",
                "input_cost_per_token": 1e-6,
                "output_cost_per_token": 2e-6,
            },
        }

    if callback:
        models = [deployment(f"served-{delay}-{v}", delay, v) for delay in DELAYS_MS for v in ("a", "b")]
    else:
        models = [deployment(f"assistant-{delay}", delay, "a") for delay in DELAYS_MS]
    return {
        "model_list": models,
        "litellm_settings": {"callbacks": [CALLBACK]} if callback else {},
        "router_settings": {"num_retries": 0},
        "general_settings": {"master_key": litellm.MASTER_KEY},
    }
