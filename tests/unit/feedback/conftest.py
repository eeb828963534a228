from datetime import timedelta

import pytest

from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database


@pytest.fixture
def make_record(now):
    """A sound record; what is given replaces its fields."""

    def make(number=1, **changes):
        fields = {
            "id": f"fb-{number}",
            "type": "thumbs_up",
            "prompt": f"Where is order {number}?",
            "response": "It is on its way to you.",
            "timestamp": now - timedelta(hours=number),
        }
        return FeedbackRecord(**{**fields, **changes})

    return make


@pytest.fixture
def store(tmp_path):
    """On SQLite."""
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    yield FeedbackStore(engine)
    engine.dispose()
