"""Whatever is said and decided later, what stands up to a watermark keeps its decision, or moves beyond it."""

import shutil
from datetime import timedelta
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.reviews import Reviews, decisions
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database
from tests.conftest import NOW

IDS = ("a", "b")
STEPS = st.lists(st.tuples(st.sampled_from(["say", "accept", "reject"]), st.sampled_from(IDS)), max_size=8)
WHO = {"actor": "cli:tests", "reason": "because"}


def entry(id_):
    return QuarantineEntry("default", "trust", "feedback", id_, ("burst",), None, id_)


def said(id_, minute):
    at = NOW + timedelta(minutes=minute)
    return FeedbackRecord(id=id_, type="thumbs_up", prompt="p", response=f"r{minute}", timestamp=at)


def seen(store, watermark):
    """What a build at the watermark would find: each record with the decision on it."""
    decided = decisions(store.engine, "default", watermark)
    return {
        record.id: (record.response, decided.get(record.id)) for _, record in store.read("default", watermark)
    }


@given(STEPS)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_watermark_ever_shows_another_text_or_another_decision(migrated_sqlite, steps):
    with TemporaryDirectory() as folder:
        shutil.copyfile(migrated_sqlite, f"{folder}/store.db")
        store = FeedbackStore(open_database(f"sqlite:///{folder}/store.db"))
        reviews = Reviews(store.engine)
        store.add([said(id_, 0) for id_ in IDS], NOW)
        store.add_quarantine([entry(id_) for id_ in IDS], NOW)
        shown = {}
        newest = {}
        for minute, (step, id_) in enumerate(steps, start=1):
            if step == "say":
                store.add([said(id_, minute)], NOW)
                newest.pop(id_, None)
            else:
                getattr(reviews, step)("default", entry(id_).fingerprint, **WHO, now=NOW)
                newest[id_] = f"{step}ed"
            shown[store.watermark("default")] = seen(store, store.watermark("default"))

        for watermark, before in shown.items():
            assert seen(store, watermark).items() <= before.items()
        assert {
            id_: one for id_, (_, one) in seen(store, store.watermark("default")).items() if one
        } == newest
        store.engine.dispose()
