"""Latency of a minority arm (1 of 4 requests) beside a busy majority: one shared server or one server each.

The adapter has all weights zero, so both arms do the same work for the same text: what differs is waiting.
"""

import argparse
import asyncio
import os
import secrets
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from gateway_tuning.datasets.example import Turn
from gateway_tuning.evaluation.predict import Request, predict_each
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters
from gateway_tuning.training.local.model import lora
from gateway_tuning.training.local.model.weights import BASE_MODEL, converted_weights, packaged_gguf
from gateway_tuning.training.local.serving import server
from gateway_tuning.training.local.serving.gguf_adapter import write_gguf_adapter

QUESTIONS = ["How do I return a jacket?", "Where is my order?", "Can I pay by invoice?", "My zip is broken."]
TOKENS = 48
REQUESTS = 48


def untrained_adapter(folder: Path) -> Path:
    """A fresh LoRA adapter: its B matrices are zero, so it changes no answer."""
    weights = converted_weights(folder / "cache")
    hyperparameters = LoraHyperparameters()
    parameters = lora.attach(lora.load_base(weights, "cpu"), hyperparameters, seed=0)
    lora.save_adapter(parameters, hyperparameters, folder)
    target = folder / "adapter.gguf"
    write_gguf_adapter(folder, weights / "config.json", target)
    return target


def medians(majority: Endpoint, minority: Endpoint) -> tuple[float, float]:
    """Median latency in ms of majority and minority under the same mixed load."""
    requests = [
        Request(minority if number % 4 == 0 else majority, [Turn("user", QUESTIONS[number % 4])])
        for number in range(REQUESTS)
    ]
    answers = asyncio.run(predict_each(requests, concurrency=4, timeout_s=300, max_tokens=TOKENS, seed=0))
    latencies = [answer.latency_ms for answer in answers]
    return (
        statistics.median(ms for number, ms in enumerate(latencies) if number % 4),
        statistics.median(ms for number, ms in enumerate(latencies) if number % 4 == 0),
    )


def run(adapter: Path, folder: Path, *, shared: bool) -> float:
    """Minority's median latency over the majority's."""
    key = os.environ[server.KEY_ENV]
    gguf = packaged_gguf()
    with ExitStack() as stack:

        def start(adapters: dict[str, Path]) -> server.LocalServer:
            return stack.enter_context(
                server.serve_local(adapters, base_gguf=gguf, api_key=key, log=folder / "server.log")
            )

        if shared:
            endpoints = start({"adapter": adapter}).endpoints
            majority, minority = endpoints[BASE_MODEL], endpoints["adapter"]
        else:
            majority, minority = (
                start({}).endpoints[BASE_MODEL],
                start({"adapter": adapter}).endpoints["adapter"],
            )
        most, least = medians(majority, minority)
    return least / most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ[server.KEY_ENV] = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        adapter = untrained_adapter(folder)
        ratios: dict[str, list[float]] = {"one shared server": [], "a server each": []}
        for _ in range(rounds):
            for label, found in ratios.items():
                found.append(run(adapter, folder, shared=label == "one shared server"))
    print("median latency of the minority arm over the majority's, 1.0 is fair")
    for label, found in ratios.items():
        print(f"{label:18} min {min(found):.2f}  median {statistics.median(found):.2f}  max {max(found):.2f}")


if __name__ == "__main__":
    main()
