"""The providers that talk HTTP, each with the server that it talks to and the faults between."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from gateway_tuning.settings import Settings
from gateway_tuning.training.job import TuningSpec
from gateway_tuning.training.providers import custom, fireworks, together
from gateway_tuning.training.providers.openai import provider as openai
from gateway_tuning.training.providers.submission import mark_prefix
from tests.wire.custom_jobs import CustomServer
from tests.wire.faults import Faults
from tests.wire.fireworks_jobs import FireworksServer
from tests.wire.jobs import ServerJobs
from tests.wire.openai_jobs import OpenAIServer
from tests.wire.server import running
from tests.wire.together_jobs import TogetherServer

KEY = SecretStr("secret-of-the-test")
TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Wire:
    """`stored` gives what the server holds of a key's files. `creates` is the path of the request that pays."""

    provider: Any
    server: Any
    faults: Faults
    stored: Callable[[str], list[bytes]]
    creates: tuple[str, str]
    url: str

    @property
    def jobs(self) -> ServerJobs:
        return self.server.jobs

    def holds(self, key: str, words: str) -> bool:
        return any(words.encode() in content for content in self.stored(key))

    def clear(self) -> None:
        self.server.clear()
        self.faults.clear()


SPECS = {
    "openai": TuningSpec("openai", "gpt-4o-mini-2024-07-18", "ds-1", hyperparameters={"n_epochs": 2}),
    "together": TuningSpec(
        "together",
        "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference",
        "ds-1",
        hyperparameters={"n_epochs": 2, "lora_rank": 16},
    ),
    "fireworks": TuningSpec(
        "fireworks", "accounts/fireworks/models/llama-v3p1-8b-instruct", "ds-1", hyperparameters={"epochs": 2}
    ),
    "custom": TuningSpec("custom", "our-base-7b", "ds-1", hyperparameters={"epochs": 2}),
}


@contextmanager
def opened(name: str, home: Path) -> Iterator[Wire]:
    with _WORLDS[name](home) as wire:
        yield wire


def settings(name: str, url: str, home: Path) -> Settings:
    """As a user sets them, by the environment's names apart."""
    asked: dict[str, Any] = {
        "openai": {"openai_api_key": KEY, "openai_base_url": f"{url}/v1"},
        "together": {"together_api_key": KEY, "together_base_url": f"{url}/v1"},
        "fireworks": {"fireworks_api_key": KEY, "fireworks_base_url": url, "fireworks_account_id": "acme"},
        "custom": {"custom_trainer_key": KEY, "custom_trainer_url": url},
    }
    return Settings(home=home, request_timeout_s=TIMEOUT_S, **asked[name])


@contextmanager
def _openai(home: Path) -> Iterator[Wire]:
    server, faults = OpenAIServer(), Faults()

    def stored(key: str) -> list[bytes]:
        return [content for name, content in server.files.values() if name.startswith(mark_prefix(key))]

    with running(faults.around(server.app)) as url:
        provider = build("openai", url, home)
        yield Wire(provider, server, faults, stored, ("POST", "/fine_tuning/jobs$"), url)


@contextmanager
def _together(home: Path) -> Iterator[Wire]:
    server, faults = TogetherServer(), Faults()

    def stored(key: str) -> list[bytes]:
        return [content for name, content in server.files.values() if name.startswith(mark_prefix(key))]

    with running(faults.around(server.app)) as url:
        provider = build("together", url, home)
        yield Wire(provider, server, faults, stored, ("POST", "/fine-tunes$"), url)


@contextmanager
def _fireworks(home: Path) -> Iterator[Wire]:
    server, faults = FireworksServer(), Faults()

    def stored(key: str) -> list[bytes]:
        named = [content for id_, content in server.datasets.items() if id_.startswith(mark_prefix(key))]
        return [content for content in named if content is not None]

    with running(faults.around(server.app)) as url:
        provider = build("fireworks", url, home)
        yield Wire(provider, server, faults, stored, ("POST", "FineTuningJobs$"), url)


@contextmanager
def _custom(home: Path) -> Iterator[Wire]:
    server, faults = CustomServer(), Faults()
    with running(faults.around(server.app)) as url:
        provider = build("custom", url, home)
        yield Wire(provider, server, faults, lambda key: server.files.get(key, []), ("PUT", "/jobs/"), url)


def build(name: str, url: str, home: Path, *, timeout_s: float = TIMEOUT_S) -> Any:
    asked = settings(name, url, home).model_copy(update={"request_timeout_s": timeout_s})
    return openai.build(asked, retries=0) if name == "openai" else _BUILDERS[name](asked)


_BUILDERS = {"together": together.build, "fireworks": fireworks.build, "custom": custom.build}
_WORLDS = {"openai": _openai, "together": _together, "fireworks": _fireworks, "custom": _custom}
