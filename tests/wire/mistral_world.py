"""MistralProvider at work: our fake on the wire, and faults between."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from gateway_tuning.training.job import TuningSpec
from gateway_tuning.training.providers.mistral.provider import MistralProvider
from gateway_tuning.training.providers.mistral.wire import MistralAccount
from gateway_tuning.training.providers.submission import mark_prefix
from tests.wire.faults import Faults
from tests.wire.mistral import KEY, FakeMistral
from tests.wire.server import running

SPEC = TuningSpec(
    provider="mistral",
    base_model="ministral-8b-latest",
    dataset_id="ds-1",
    hyperparameters={"learning_rate": 1e-4, "training_steps": 4},
)


@dataclass(frozen=True, slots=True)
class MistralWorld:
    provider: MistralProvider
    fake: FakeMistral
    faults: Faults

    def holds(self, key: str, words: str) -> bool:
        files = [one for one in self.fake.files.values() if one.name.startswith(mark_prefix(key))]
        return any(words.encode() in one.content for one in files)

    def with_account(self, **changes: Any) -> MistralProvider:
        return MistralProvider(replace(self.provider.account, **changes))


@contextmanager
def mistral_world() -> Iterator[MistralWorld]:
    fake, faults = FakeMistral(), Faults()
    with running(faults.around(fake.app())) as url:
        yield MistralWorld(MistralProvider(MistralAccount(SecretStr(KEY), url, timeout_s=10)), fake, faults)


def chats(path: Path, examples: int) -> Path:
    """Lines of the format mistral."""

    def line(number: int) -> dict[str, Any]:
        said = (("user", f"Where is order {number}?"), ("assistant", f"Order {number} left today."))
        return {"messages": [{"role": role, "content": text} for role, text in said]}

    path.write_text("\n".join(json.dumps(line(number)) for number in range(examples)))
    return path
