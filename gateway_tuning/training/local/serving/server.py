"""The local OpenAI-compatible server: base model and adapters in one llama.cpp process on loopback.

`python -m gateway_tuning.training.local.serving.server CONFIG` is its child process; CONFIG is JSON, the API key comes
in the environment, where other users of the machine do not see it.
"""

import json
import os
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_tuning import processes
from gateway_tuning.errors import ConfigurationError, ServingError, missing_extra
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.training.local.data.chats import CHAT_TEMPLATE
from gateway_tuning.training.local.model.weights import BASE_MODEL

MODULE = "gateway_tuning.training.local.serving.server"
KEY_ENV = "GATEWAY_TUNING_LOCAL_SERVER_KEY"
START_SECONDS = 60.0
_CHILD_KEY_ENV = "GATEWAY_TUNING_LOCAL_SERVER_CHILD_KEY"
_LOG_TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True)
class LocalServer:
    """`endpoints` maps each adapter's name, and BASE_MODEL, to where it answers."""

    base_url: str
    endpoints: dict[str, Endpoint]


@contextmanager
def serve_local(
    adapters: Mapping[str, Path],
    *,
    base_gguf: Path,
    api_key: str,
    log: Path,
    threads: int = 1,
    slots: int = 4,
    context_per_slot: int = 2048,
    api_key_env: str = KEY_ENV,
) -> Iterator[LocalServer]:
    """Serve the base model and its adapters (GGUF files) until the block ends.

    The context is in tokens; `slots` requests are answered at once. A chat without a system message gets
    `chats.DEFAULT_SYSTEM_PROMPT`, as in training. `api_key_env` names the variable from which users of the
    endpoints read `api_key`; nothing is set here.

    llama.cpp's `threads` wait for each other by spinning: with one that has to share its core, two gave 2 tokens a
    second where one gave 37. Ask for more only where so many cores are left to the server alone.

    Raises:
        ConfigurationError: an adapter has the base model's name, or the key is empty.
        ServingError: the server did not come up; the message ends with its log.
    """
    if BASE_MODEL in adapters:
        raise ConfigurationError(f"An adapter cannot be named {BASE_MODEL}: that name means the base model")
    if not api_key:
        raise ConfigurationError("The local server needs a non-empty API key: without one it answers anybody")
    port = processes.free_port()
    config = {
        "base": str(base_gguf),
        "adapters": [str(path) for path in adapters.values()],
        "port": port,
        "threads": threads,
        "slots": slots,
        "context_per_slot": context_per_slot,
    }
    child = processes.spawn(MODULE, [json.dumps(config)], log=log, env={_CHILD_KEY_ENV: api_key})
    try:
        _wait_until_healthy(child, port, api_key, log)
        base_url = f"http://127.0.0.1:{port}/v1"
        yield LocalServer(base_url, _endpoints(base_url, list(adapters), api_key_env))
    finally:
        processes.stop(child)


def random_key() -> str:
    return secrets.token_urlsafe(32)


def _endpoints(base_url: str, adapters: list[str], api_key_env: str) -> dict[str, Endpoint]:
    """Every request says the scale of every adapter, so that none is left to the server's default.

    `cache_prompt` is off because llama.cpp can reuse a prompt's cache under another adapter than it was made with.
    """

    def body(chosen: str) -> dict[str, Any]:
        scales = [{"id": i, "scale": 1.0 if name == chosen else 0.0} for i, name in enumerate(adapters)]
        return {"lora": scales, "cache_prompt": False}

    return {name: Endpoint(base_url, name, body(name), api_key_env) for name in [BASE_MODEL, *adapters]}


def _wait_until_healthy(child: subprocess.Popen[bytes], port: int, api_key: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ServingError(f"The local server ended with code {child.returncode}. {_tail(log)}")
        if _is_healthy(port, api_key):
            return
        time.sleep(0.05)
    raise ServingError(f"The local server was not ready after {START_SECONDS:.0f} s. {_tail(log)}")


def _is_healthy(port: int, api_key: str) -> bool:
    # The list of models asks for the key, so another process on the port does not pass for this server.
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/models", headers={"Authorization": f"Bearer {api_key}"}
    )
    # A proxy of the environment would be asked for this very machine, and be told the key.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP OK
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _tail(log: Path) -> str:
    text = log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace") if log.exists() else ""
    return f"The end of {log}:\n{text}"


def main() -> None:
    """Serve until the parent ends."""
    processes.when_parent_ends(lambda: os._exit(0))
    config = json.loads(sys.argv[1])
    api_key = os.environ.pop(_CHILD_KEY_ENV)
    try:
        import xllamacpp
    except ImportError as error:
        raise missing_extra("xllamacpp", "serve-local") from error
    parameters = _parameters(xllamacpp, config, api_key)
    server = xllamacpp.Server(parameters)
    print(f"listening on {server.listening_address}", flush=True)  # noqa: T201 - standard output is the log
    threading.Event().wait()


def _parameters(xllamacpp: Any, config: dict[str, Any], api_key: str) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = config["base"]
    parameters.model_alias = {BASE_MODEL}
    # Scale 0: a request that names no adapter gets the base model.
    parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 0.0) for path in config["adapters"]]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = config["port"]
    parameters.api_keys = [api_key]
    parameters.cors_origins = ""  # browsers' pages have no business here
    parameters.cors_origins_explicit = True
    parameters.ui = False
    parameters.endpoint_slots = False  # it shows other users' prompts
    parameters.n_parallel = config["slots"]
    parameters.n_ctx = config["slots"] * config["context_per_slot"]
    parameters.cpuparams.n_threads = config["threads"]
    parameters.cpuparams_batch.n_threads = config["threads"]
    parameters.chat_template = CHAT_TEMPLATE
    # No reuse of prompts' states: llama.cpp does not key them by adapter.
    parameters.cache_prompt = False
    parameters.cache_ram_mib = 0
    parameters.cache_idle_slots = False
    parameters.warmup = True
    return parameters


if __name__ == "__main__":
    main()
