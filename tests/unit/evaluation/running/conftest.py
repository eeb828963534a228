from datetime import UTC, datetime

import pytest

from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from tests.wire.chat import Chat
from tests.wire.faults import Faults
from tests.wire.server import running


@pytest.fixture
def make_example():
    def make(number: int, prompt: str = "", **fields) -> Example:
        prompt = prompt or f"one two three four {number}"
        given = {
            "id": f"ex{number:03}",
            "kind": ExampleKind.DEMONSTRATION,
            "messages": (Turn("system", "Be kind"), Turn("user", prompt)),
            "answer": prompt,
            "rejected": None,
            "desirable": None,
            "feedback_ids": (f"f{number}",),
            "feedback_types": ("correction",),
            "last_feedback_at": datetime(2025, 1, 1, tzinfo=UTC),
            "group_id": f"g{number}",
            "split": "test",
        }
        return Example(**given | fields)

    return make


@pytest.fixture
def chat():
    return Chat()


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def server(chat, faults):
    pytest.importorskip("openai", reason="the openai extra is not installed")
    with running(faults.around(chat)) as url:
        yield f"{url}/v1"
