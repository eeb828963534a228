import json
import socket
from datetime import timedelta

from gateway_tuning.feedback.expectations import USABLE, check_batch, suite


def failed(result, severity):
    found = (item for item in result["expectations"] if not item["success"] and item["severity"] == severity)
    return [item["name"] for item in found]


def good_batch(make_record, size=20):
    return [
        make_record(number, user_id=f"u{number}", satisfaction_score=(number % 5) / 5)
        for number in range(size)
    ]


def test_a_good_batch_meets_every_expectation(make_record, now):
    result = check_batch(good_batch(make_record), 1, now=now)

    assert result["success"]
    assert result["warnings"] == 0
    assert (result["records"], result["quarantined"]) == (20, 1)
    assert len(result["expectations"]) == len(suite(now)) + 1
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_batch_with_too_many_quarantined_rows_fails_and_says_the_share(make_record, now):
    result = check_batch(good_batch(make_record), 5, now=now)

    assert not result["success"]
    assert failed(result, "critical") == [USABLE.name]
    usable = result["expectations"][-1]
    assert (usable["observed"], usable["unexpected_count"], usable["column"]) == (0.8, 5, "usable")


def test_an_empty_batch_is_no_success(now):
    result = check_batch([], 0, now=now)

    assert failed(result, "critical") == ["there are records"]


def test_what_makes_a_poor_dataset_is_a_warning(make_record, now):
    same = {"prompt": "Why?", "response": "No.", "satisfaction_score": 0.5, "timestamp": now}
    result = check_batch([make_record(1, **same) for _ in range(30)], 0, now=now)

    assert result["success"]
    assert failed(result, "warning") == [
        "few ids come twice",
        "scores are not all the same",
        "answers are rarely a few characters",
        "prompts vary",
        "most users are known",
        "times differ",
    ]


def test_records_that_no_rule_has_seen_fail_critically(make_record, now):
    odd = make_record(99, prompt="", satisfaction_score=7, timestamp=now + timedelta(days=1))
    result = check_batch([*good_batch(make_record), odd], 0, now=now)

    assert failed(result, "critical") == ["scores lie in [-1, 1]", "prompts have text", "times are plausible"]
    scores = next(item for item in result["expectations"] if item["name"] == "scores lie in [-1, 1]")
    assert scores["unexpected_count"] == 1


def test_no_file_no_connection_and_no_line_is_left(make_record, now, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def refuse(*_args):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)

    check_batch(good_batch(make_record), 1, now=now)

    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
