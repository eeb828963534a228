import json
import shutil

import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database

WHY = ("--reason", "A newsletter asked for these ratings")


@pytest.fixture
def quarantine(tmp_path, monkeypatch):
    """`gateway-tuning feedback quarantine ...`, in an empty home."""
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "240")
    return lambda *words: CliRunner().invoke(app, ["feedback", "quarantine", *words])


@pytest.fixture
def aside(tmp_path, migrated_sqlite, make_record, now):
    """The fingerprints of a record in a burst and of one that could not be anonymized."""
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    engine = open_database(f"sqlite:///{tmp_path / 'gateway-tuning.db'}")
    store = FeedbackStore(engine)
    store.add([make_record("f1", comment="moonbeam\x1b[2J"), make_record("f2")], now)
    entries = [
        QuarantineEntry("default", stage, "feedback", id_, (reason,), None, id_)
        for stage, id_, reason in [
            ("trust", "f1", "burst: words 4 to 6"),
            ("anonymization", "f2", "not anonymized: [bold] text"),
        ]
    ]
    store.add_quarantine(entries, now)
    engine.dispose()
    return [entry.fingerprint for entry in entries]


def test_a_record_is_accepted_by_the_beginning_of_its_entry_and_rejected_again(quarantine, aside):
    burst, _ = aside

    accepted = quarantine("accept", burst[:10], *WHY)
    rejected = quarantine("reject", burst[:10], "--reason", "It was none")

    assert (accepted.exit_code, rejected.exit_code) == (0, 0)
    assert "the next dataset may use feedback f1" in accepted.output
    shown = json.loads(quarantine("show", burst, "--json").output)
    assert [one["decision"] for one in shown["reviews"]] == ["rejected", "accepted"]
    assert shown["reviews"][1]["reason"] == WHY[1]
    assert shown["reviews"][1]["actor"].startswith("cli:")


def test_several_are_decided_on_at_once_and_none_where_one_of_them_is_not_there(quarantine, aside):
    slip = quarantine("reject", aside[0], aside[1][:-1] + "x", *WHY)
    nothing = json.loads(quarantine("list", "--json").output)
    both = quarantine("reject", *aside, *WHY)

    assert slip.exit_code == 1
    assert f"Did you mean {aside[1]}?" in slip.stderr
    assert {one["decision"] for one in nothing} == {None}
    assert both.output.count("is rejected") == 2


def test_what_can_never_be_accepted_says_why_before_and_after_one_tries(quarantine, aside):
    _, unclean = aside

    shown, tried = quarantine("show", unclean), quarantine("accept", unclean, *WHY)

    assert "no: its personal data could not be removed" in shown.output
    assert tried.exit_code == 1
    assert "personal data could not be removed" in tried.stderr


def test_the_list_is_the_same_with_and_without_its_name_and_tells_decisions(quarantine, aside):
    quarantine("accept", aside[0], *WHY)

    listed = json.loads(quarantine("list", "--json").output)

    assert quarantine().output == quarantine("list").output
    assert {one["entry"]: one["decision"] for one in listed} == {aside[0]: "accepted", aside[1]: None}
    assert "not anonymized: [bold] text" in quarantine("list").output
    (one,) = json.loads(quarantine("list", "--stage", "trust", "--json").output)
    assert one["id"] == "f1"


def test_what_a_user_wrote_steers_no_terminal(quarantine, aside):
    shown = quarantine("show", aside[0]).output

    assert "moonbeam" in shown
    assert "\x1b" not in shown


def test_a_beginning_of_several_entries_and_an_unknown_one_are_refused(quarantine, aside):
    assert "Nothing was set aside as zz" in quarantine("accept", "zz", *WHY).stderr
    assert quarantine("accept", "", *WHY).exit_code == 1


def test_a_decision_without_a_reason_is_a_wrong_use_of_the_command(quarantine, aside):
    assert quarantine("accept", aside[0]).exit_code == 2
    assert "needs a reason" in quarantine("accept", aside[0], "--reason", " ").stderr
