"""Simulated users for a canary: the gateway and the models are real, the people are not."""

import asyncio
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from prefect import task

from gateway_tuning import processes
from gateway_tuning.datasets.example import Example, ExampleKind
from gateway_tuning.datasets.published import read_split
from gateway_tuning.datasets.splits import TEST
from gateway_tuning.errors import ServingError
from gateway_tuning.evaluation.scoring.words.similarity import word_set_similarity
from gateway_tuning.serving import open_endpoints
from gateway_tuning.simulation import Visit, simulate_users
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.demo")

USERS = 240
VISITS_A_WAVE = 40
LIKED_ABOVE = 0.5  # word-set similarity to the preferred answer from which a simulated user is content
START_SECONDS = 30.0


@contextmanager
def open_gateway(canary_id: str) -> Iterator[str]:
    """Serve both versions of the canary behind a real gateway, and yield its base URL."""
    rt = runtime()
    canary = rt.canaries.get(canary_id)
    versions = [rt.registry.get(canary.candidate), rt.registry.get(canary.control)]
    with open_endpoints(
        versions, registry=rt.registry, objects=rt.objects, settings=rt.settings
    ) as endpoints:
        for version_id, endpoint in endpoints.items():
            rt.registry.set_endpoint(version_id, endpoint, now=now())
        port = processes.free_port()
        log = rt.settings.home / "logs" / "gateway.log"
        arguments = ["serve-gateway", "--port", str(port), "--exit-with-parent"]
        gateway = processes.spawn("gateway_tuning.cli", arguments, log=log)
        try:
            _wait_until_healthy(f"http://127.0.0.1:{port}/healthz")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            processes.stop(gateway)


@task(name="simulate users")
def simulate_wave(
    base_url: str, canary_id: str, dataset_id: str, wave: int, max_tokens: int
) -> dict[str, Any]:
    """One wave of simulated users replays held-out prompts through the gateway and rates the answers."""
    model = runtime().canaries.get(canary_id).model
    report = asyncio.run(
        simulate_users(
            base_url, model, _visits(dataset_id, wave), rate=_rate, concurrency=4, max_tokens=max_tokens
        )
    )
    logger.info(
        "%d simulated requests in %.0f s, %d rated, %d failed",
        report.requests, report.seconds, report.ratings, report.errors,
    )  # fmt: skip
    return asdict(report)


def _visits(dataset_id: str, wave: int) -> list[Visit]:
    """Users come back in turn, each time with the next prompt."""
    rt = runtime()
    examples = [
        example
        for example in read_split(rt.objects, rt.datasets.manifest(dataset_id), TEST)
        if example.kind is ExampleKind.DEMONSTRATION
    ]
    numbers = range(wave * VISITS_A_WAVE, (wave + 1) * VISITS_A_WAVE)
    return [_visit(f"simulated-{number % USERS}", examples[number % len(examples)]) for number in numbers]


def _visit(user: str, example: Example) -> Visit:
    messages = [{"role": turn.role, "content": turn.content} for turn in example.messages]
    return Visit(user, messages, preferred_answer=example.answer)


def _rate(answer: str, preferred: str) -> float:
    return 1.0 if word_set_similarity(answer, preferred) >= LIKED_ABOVE else -1.0


def _wait_until_healthy(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - a fixed loopback address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise ServingError(f"The gateway did not answer at {url}; see gateway.log in the logs folder")
