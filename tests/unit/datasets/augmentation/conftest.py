import asyncio
from datetime import UTC, datetime

import pytest

from gateway_tuning.datasets.example import Example, ExampleKind, Turn
from tests.unit.datasets.augmentation.paraphrase_server import paraphrase_server


def make_example(id_="e1", prompt="Where is my parcel?", **fields):
    given = {
        "id": id_,
        "kind": ExampleKind.DEMONSTRATION,
        "messages": (Turn("system", "Be kind"), Turn("user", prompt)),
        "answer": "On its way",
        "rejected": None,
        "desirable": None,
        "feedback_ids": (f"f-{id_}",),
        "feedback_types": ("correction",),
        "last_feedback_at": datetime(2026, 10, 1, tzinfo=UTC),
        "group_id": "00000000000000aa",
        "split": "train",
        "subject_ids": (f"s-{id_}",),
    }
    return Example(**given | fields)


def variants_of(augmenter, example, count=3, seed=0):
    async def ask():
        try:
            return await augmenter.variants(example, count, seed)
        finally:
            await augmenter.close()

    return asyncio.run(ask())


@pytest.fixture
def server():
    with paraphrase_server() as running:
        yield running
