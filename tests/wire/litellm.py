"""LiteLLM's proxy as a process of its own environment, which `make litellm` installs."""

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway_tuning.processes import free_port, stop

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".cache" / "litellm" / "bin" / "python"
MASTER_KEY = "sk-of-the-tests"
START_S = 180
_RUN = """
import os, signal, sys
from gateway_tuning.processes import when_parent_ends
when_parent_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
from litellm.proxy.proxy_cli import run_server
run_server()
"""


@dataclass(frozen=True)
class Proxy:
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until_ready(self) -> None:
        """It takes seconds to import LiteLLM."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/health/liveliness", timeout=5):
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"LiteLLM did not start: {self.said()[-2000:]}") from None
            time.sleep(0.1)


@contextmanager
def running_litellm(
    config: dict[str, Any],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    prefix: tuple[str, ...] = (),
    arguments: tuple[str, ...] = (),
    wait: bool = True,
) -> Iterator[Proxy]:
    """Tuned as its makers advise: httptools, no cost map from the network, byte code kept. `prefix` as of taskset."""
    folder.mkdir(parents=True, exist_ok=True)
    path, log, port = folder / "config.yaml", folder / "litellm.log", free_port()
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    known = ("--config", str(path), "--host", "127.0.0.1", "--port", str(port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*prefix, str(PYTHON), "-c", _RUN, *known, *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
            env={
                **inherited,
                "PYTHONPATH": str(ROOT),
                "LITELLM_MASTER_KEY": MASTER_KEY,
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "AIOHTTP_KEEPALIVE_TIMEOUT": "4",  # lets go of idle connections before uvicorn does after 5 s
                **(env or {}),
            },
        )
    proxy = Proxy(f"http://127.0.0.1:{port}", log, process)
    try:
        if wait:
            proxy.wait_until_ready()
        yield proxy
    finally:
        stop(process)
