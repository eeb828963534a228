"""`gateway-tuning subjects` as a person types it."""

import json

import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from tests.conftest import NOW

PERSON = "u-quillfeather"


@pytest.fixture
def run(tmp_path, monkeypatch, make_record):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    engine = open_database(Settings(_env_file=None, home=tmp_path).resolved_database_url)
    FeedbackStore(engine).add([make_record("f1", user_id=PERSON), make_record("f2", user_id="u-2")], NOW)
    engine.dispose()

    def invoke(*arguments, **options):
        return CliRunner().invoke(app, ["subjects", *arguments], **options)

    return invoke


def erasure_of(result):
    assert result.exit_code == 0, result.output
    return result.output.split()[0]


def test_a_person_is_erased_and_the_certificate_holds(run, tmp_path):
    erased = run("erase", PERSON)
    certificate = tmp_path / "certificate.json"
    certificate.write_text(run("certificate", erasure_of(erased)).output)

    verified = run("verify", str(certificate))

    assert "completed; rows removed: 1 of feedback" in erased.output
    assert verified.exit_code == 0
    assert "holds" in verified.output
    assert PERSON not in erased.output + certificate.read_text() + run("list").output


def test_a_changed_certificate_does_not_hold(run, tmp_path):
    certificate = json.loads(run("certificate", erasure_of(run("erase", PERSON))).output)
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(certificate | {"rows_removed": {}}))
    broken = tmp_path / "broken.json"
    broken.write_text("[")

    refused = run("verify", str(changed))

    assert refused.exit_code == run("verify", str(broken)).exit_code == 1
    assert "was changed" in refused.output


def test_the_id_can_come_from_standard_input_and_the_rest_be_left_to_the_flow(run):
    begun = run("erase", "-", "--background", input=f"{PERSON}\n")
    erasure = erasure_of(begun)

    early = run("certificate", erasure)
    resumed = run("resume", erasure)

    assert "requested" in begun.output
    assert early.exit_code == 1
    assert "resume" in early.output
    assert f"{erasure} completed" in resumed.output


def test_a_blank_id_is_refused(run):
    refused = run("erase", " ")

    assert refused.exit_code == 1
    assert "blank user id" in refused.output
