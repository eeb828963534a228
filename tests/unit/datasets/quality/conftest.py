import json

import pytest

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.quality.sample import Rating, Sample
from tests.conftest import NOW, SHARED_DATA

FEEDBACKQA = SHARED_DATA / "feedbackqa"


@pytest.fixture
def make_sample():
    def make(**fields) -> Sample:
        defaults = {
            "id": "e1",
            "kind": ExampleKind.DEMONSTRATION,
            "turns": (),
            "prompt": "Where is my order?",
            "answer": "It left our warehouse this morning.",
            "rejected": None,
            "desirable": None,
            "rating": Rating(corrected=False, raters=1, newest=NOW),
        }
        return Sample(**(defaults | fields))

    return make


@pytest.fixture(scope="session")
def feedbackqa():
    """Rows of question and answer."""
    if not FEEDBACKQA.is_dir():
        pytest.skip(f"{FEEDBACKQA} is not on this machine")
    return [
        (row["question"], row["passage"]["reference"]["section_content"])
        for path in sorted(FEEDBACKQA.glob("*.json"))
        for row in json.loads(path.read_text())
    ]
