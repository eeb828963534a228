import json

import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app


@pytest.fixture
def doctor(tmp_path, monkeypatch):
    """`gateway-tuning doctor` of some checks, in an empty folder and home."""
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*checks, arguments=()):
        chosen = [word for check in checks for word in ("--only", check)]
        return CliRunner().invoke(app, ["doctor", *chosen, *arguments])

    return run


def test_where_nothing_is_at_fault_the_doctor_ends_with_0(doctor):
    result = doctor("store", "objects", "machine")

    assert result.exit_code == 0
    assert "no sqlite:" in result.output
    assert "5 ok" in result.output or "4 ok" in result.output


def test_a_fault_is_told_with_its_remedy_and_ends_with_1(doctor, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_GATEWAY_URLS", "http://127.0.0.1:9")

    result = doctor("gateways")

    assert result.exit_code == 1
    assert "FAULT    gateway http://127.0.0.1:9: does not answer" in result.output
    assert "serve-gateway" in result.output


def test_as_json_every_finding_has_the_same_names(doctor):
    found = json.loads(doctor("machine", "clock", arguments=["--json"]).output)

    assert {tuple(sorted(one)) for one in found} == {("check", "remedy", "state", "told")}
    assert {one["state"] for one in found} <= {"ok", "warning", "not configured"}


def test_a_check_that_is_not_there_is_said_with_those_that_are(doctor):
    result = doctor("hearts")

    assert result.exit_code == 1
    assert "No check hearts; there are: settings, store" in result.stderr


def test_a_misspelt_variable_in_the_env_file_is_found(doctor, tmp_path):
    (tmp_path / ".env").write_text("# notes\nexport GATEWAY_TUNING_HOMEE=there\n")

    result = doctor("settings")

    assert result.exit_code == 0
    assert "GATEWAY_TUNING_HOMEE is no setting" in result.output
