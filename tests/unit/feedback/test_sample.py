import subprocess
import sys
from collections import Counter
from pathlib import Path

from gateway_tuning.feedback.importer import import_file

EXAMPLES = Path("examples")


def test_the_generator_writes_the_committed_sample_byte_for_byte(tmp_path):
    for name in ("make_feedback.py", "topics.py"):
        (tmp_path / name).write_bytes((EXAMPLES / name).read_bytes())

    subprocess.run([sys.executable, "-S", tmp_path / "make_feedback.py"], check=True, capture_output=True)

    assert (tmp_path / "feedback.jsonl").read_bytes() == (EXAMPLES / "feedback.jsonl").read_bytes()


def test_the_sample_has_every_feedback_type_and_enough_good_answers(store, now):
    import_file(EXAMPLES / "feedback.jsonl", None, store, tenant="default", now=now, expectations=False)
    records = [record for _, record in store.read("default")]

    types = Counter(record.type.value for record in records)
    good = [record for record in records if record.corrected_response or record.type == "thumbs_up"]
    users = Counter(record.user_id for record in records if record.user_id)

    assert types == store.counts("default").feedback
    assert set(types) == {
        "thumbs_up",
        "thumbs_down",
        "text",
        "correction",
        "reformulation",
        "automatic_evaluation",
    }
    assert len(good) >= 280
    assert max(users.values()) <= 3
    assert len({record.prompt for record in good}) > 0.95 * len(good)
    assert {record.system_prompt for record in records} == {
        "You are the support assistant of Northwind Outfitters."
    }


def test_the_faults_and_duplicates_of_the_sample_are_found(store, now):
    report = import_file(
        EXAMPLES / "feedback.jsonl", None, store, tenant="default", now=now, expectations=False
    )

    assert (report.duplicates, report.quarantined, report.broken) == (12, 16, 3)
    assert len(report.quarantined_by_reason) >= 13


def test_personal_data_is_planted_in_prompt_and_answer_and_is_invented(store, now):
    import_file(EXAMPLES / "feedback.jsonl", None, store, tenant="default", now=now, expectations=False)
    records = [record for _, record in store.read("default")]

    told = [record for record in records if "@example." in record.prompt or "202-555-01" in record.prompt]
    repeated = [
        record
        for record in told
        if any(
            mark in f"{record.response} {record.corrected_response}" for mark in ("@example.", "202-555-01")
        )
    ]

    assert len(told) >= 30
    assert len(repeated) > 0.8 * len(told)  # not in every rival answer to the same prompt
