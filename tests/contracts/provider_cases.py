"""The providers that `test_providers.py` holds to the contract: where each runs, and what it is known to leave.

A provider from outside gets one `Case`: its world (itself and the server that it talks to) and what to expect of it.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway_tuning.errors import ProviderUnavailableError
from gateway_tuning.training.job import TrainingFiles, TuningSpec
from gateway_tuning.training.provider import Provider
from gateway_tuning.training.providers import llama
from tests.base_model import give_base_model
from tests.wire import bedrock_world, mistral_world, worlds
from tests.wire.faults import lost_request

WORDS = "Thank you for asking!"  # in every line of training data


def export(path: Path, examples: int) -> Path:
    """Chats as every supervised format of these cases takes them."""

    def chat(number):
        return {
            "messages": [
                {"role": "user", "content": f"Where is order {number}?"},
                {"role": "assistant", "content": f"{WORDS} Order {number} left today."},
            ]
        }

    path.write_text("\n".join(json.dumps(chat(number)) for number in range(examples)))
    return path


@dataclass(frozen=True, slots=True)
class World:
    """A provider at work.

    `holds` tells whether WORDS lie anywhere for the job of this key. `interrupt` submits, and dies before there is a
    job. `kill` ends the job's worker without warning, and `resumed` tells whether it went on from where it was; None
    where workers are out of reach.
    """

    provider: Provider
    holds: Callable[[str], bool]
    interrupt: Callable[[str, TuningSpec, TrainingFiles], None]
    kill: Callable[[str], None] | None = None
    resumed: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """`metrics` are those that a result has at least, `looked_at` those of a job that has ended.

    `export` writes so many examples, each with WORDS, in the format that the provider takes for `spec`.
    """

    opened: Callable[[Path], AbstractContextManager[World]]
    spec: TuningSpec
    result_files: frozenset[str]
    metrics: frozenset[str]
    looked_at: frozenset[str] = frozenset({"train_loss"})
    is_slow: bool = False
    export: Callable[[Path, int], Path] = export


@contextmanager
def _llama_world(home: Path) -> Iterator[World]:
    def folder(key: str) -> Path:
        return home / "jobs" / key

    def holds(key: str) -> bool:
        files = [path for path in folder(key).rglob("*") if path.is_file()]
        return any(WORDS.encode() in path.read_bytes() for path in files)

    def interrupt(key: str, _spec: TuningSpec, files: TrainingFiles) -> None:
        folder(key).mkdir(parents=True)
        (folder(key) / "train.jsonl").write_bytes(files.train.read_bytes())

    def kill(job_id: str) -> None:
        child = llama._workers[folder(job_id)]
        os.kill(child.pid, signal.SIGKILL)
        child.wait()

    cache = give_base_model(home / "cache")

    def resumed(job_id: str) -> bool:
        return '"resumed"' in (folder(job_id) / "progress.jsonl").read_text()

    yield World(llama.LlamaProvider(home / "jobs", cache), holds, interrupt, kill, resumed)


@contextmanager
def _bedrock_world(_home: Path) -> Iterator[World]:
    with bedrock_world.bedrock_world() as at_work:
        at_work.fake.looks_to_end = 6

        def interrupt(key: str, spec: TuningSpec, files: TrainingFiles) -> None:
            at_work.faults.on("POST", "/model-customization-jobs$", lost_request())
            with pytest.raises(ProviderUnavailableError):
                at_work.provider.submit(key, spec, files)

        yield World(at_work.provider, lambda key: at_work.holds(key, WORDS), interrupt)


@contextmanager
def _mistral_world(_home: Path) -> Iterator[World]:
    with mistral_world.mistral_world() as at_work:
        at_work.fake.looks_to_end = 7

        def interrupt(key: str, spec: TuningSpec, files: TrainingFiles) -> None:
            at_work.faults.on("POST", "/fine_tuning/jobs$", lost_request())
            with pytest.raises(ProviderUnavailableError):
                at_work.provider.submit(key, spec, files)

        yield World(at_work.provider, lambda key: at_work.holds(key, WORDS), interrupt)


def _http_world(name: str) -> Callable[[Path], AbstractContextManager[World]]:
    @contextmanager
    def opened(home: Path) -> Iterator[World]:
        with worlds.opened(name, home) as at_work:

            def interrupt(key: str, spec: TuningSpec, files: TrainingFiles) -> None:
                at_work.faults.on(*at_work.creates, lost_request())
                with pytest.raises(ProviderUnavailableError):
                    at_work.provider.submit(key, spec, files)
                if name == "custom":  # one request creates all, so what is left is what its trainer kept
                    at_work.server.files[key] = [files.train.read_bytes()]

            yield World(at_work.provider, lambda key: at_work.holds(key, WORDS), interrupt)

    return opened


CASES = {
    "bedrock": Case(
        opened=_bedrock_world,
        spec=bedrock_world.SPEC,
        result_files=frozenset(),
        metrics=frozenset({"train_loss", "validation_loss", "steps"}),
        export=bedrock_world.nova,
    ),
    "custom": Case(
        opened=_http_world("custom"),
        spec=worlds.SPECS["custom"],
        result_files=frozenset({"adapter.bin"}),
        metrics=frozenset({"train_loss", "steps", "tokens"}),
    ),
    "fireworks": Case(  # its API tells no metrics
        opened=_http_world("fireworks"),
        spec=worlds.SPECS["fireworks"],
        result_files=frozenset(),
        metrics=frozenset(),
        looked_at=frozenset(),
    ),
    "openai": Case(
        opened=_http_world("openai"),
        spec=worlds.SPECS["openai"],
        result_files=frozenset({"metrics.csv"}),
        metrics=frozenset({"train_loss", "validation_loss", "steps", "tokens"}),
    ),
    "together": Case(  # its API tells no losses
        opened=_http_world("together"),
        spec=worlds.SPECS["together"],
        result_files=frozenset(),
        metrics=frozenset({"tokens"}),
        looked_at=frozenset({"tokens"}),
    ),
    "mistral": Case(
        opened=_mistral_world,
        spec=mistral_world.SPEC,
        result_files=frozenset(),
        metrics=frozenset({"train_loss", "validation_loss", "steps", "tokens"}),
    ),
    "llama": Case(
        opened=_llama_world,
        spec=TuningSpec(
            provider="llama",
            base_model="SmolLM2-135M-Instruct",
            dataset_id="ds-1",
            hyperparameters={
                "rank": 4,
                "batch_size": 2,
                "max_steps": 6,
                "warmup_steps": 1,
                "checkpoint_every": 2,
                "evaluate_every": 3,
                "validation_chats": 2,
            },
        ),
        result_files=frozenset({"adapter_model.safetensors", "adapter_config.json", "adapter.gguf"}),
        metrics=frozenset({"train_loss", "validation_loss", "steps", "train_seconds", "tokens"}),
        is_slow=True,
    ),
}


def parameters() -> list:
    """For a fixture's `params`: the names of cases, slow ones marked so."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if case.is_slow else [])
        for name, case in sorted(CASES.items())
    ]
