from pathlib import Path

import pytest

from gateway_tuning.feedback.importer import import_file
from gateway_tuning.feedback.mapping import load_mapping

DATA = Path("../shared/data/feedbackqa")
MAPPING = Path("tests/mappings/feedbackqa.yaml")
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not on this machine")


def test_every_rating_of_feedbackqa_is_accounted_for(store, now):
    report = import_file(DATA, load_mapping(MAPPING), store, tenant="default", now=now)

    assert (report.read, report.broken, report.records) == (1929, 0, 3858)
    assert report.imported + report.duplicates + report.quarantined == 3858
    assert (report.imported, report.duplicates, report.quarantined) == (3858, 0, 0)
    assert store.counts("default").feedback == {"thumbs_down": 1890, "thumbs_up": 1968}
    assert report.expectations["success"]


def test_a_rating_becomes_thumb_score_and_comment(store, now):
    import_file(
        DATA / "WHO_valid.json", load_mapping(MAPPING), store, tenant="default", now=now, expectations=False
    )

    records = [record for _, record in store.read("default")]
    told = {(record.metadata["rating"], record.type.value, record.satisfaction_score) for record in records}
    assert told == {
        ("Excellent", "thumbs_up", 1.0),
        ("Acceptable", "thumbs_up", 0.3),
        ("Could be Improved", "thumbs_down", -0.3),
        ("Bad", "thumbs_down", -1.0),
    }
    assert all(record.comment and record.response and record.metadata["uri"] for record in records)
    conversations = {(record.conversation_id, record.prompt) for record in records}
    assert len(conversations) == len({prompt for _, prompt in conversations})
