import re
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.drift.store import DriftStore, StoredDriftReport
from gateway_tuning.storage.database import open_database

METRIC = {
    "name": "prompt_length", "psi": 0.4, "psi_expected": 0.03, "p_value": 1e-6, "threshold": 0.1, "drifted": True,
    "n_reference": 400, "n_current": 300,
}  # fmt: skip
RESULT = {
    "state": "drift", "reasons": ["prompt_length: PSI 0.400"], "metrics": [METRIC], "score": 0.37,
    "data_quality": [{"type": "duplicates", "severity": "warning", "description": "half of it twice"}],
    "reference": "ds-1", "current": "bot, 7 days",
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    engine = open_database(f"sqlite:///{tmp_path / 'gateway-tuning.db'}")
    at = datetime(2026, 11, 1, 12, tzinfo=UTC)
    report = StoredDriftReport("drift-1", "default", "ds-1", "bot@1", RESULT, at, "bot", "live", 2, 0.0076)
    DriftStore(engine).add(report)
    engine.dispose()

    def run(*arguments):
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["drift", *arguments])

    return run


def test_a_report_is_listed_and_shown_column_by_column(run):
    assert "drift-1" in run("list").output
    shown = run("show", "drift-1").output

    assert "drift: bot, 7 days against ds-1, check 2 at alpha 0.0076" in shown
    assert "prompt length  0.400  0.030      1e-06  yes" in shown
    assert "warning: half of it twice" in shown


def test_a_report_is_a_page_that_needs_nothing_else(run, tmp_path):
    page = tmp_path / "report.html"

    assert str(page) in run("show", "drift-1", "--html", str(page)).output
    text = page.read_text(encoding="utf-8")
    assert "The data has drifted." in text
    assert "half of it twice" in text
    assert not re.findall(r"(?:src|href)=|https?:", text)


def test_the_history_is_a_table_and_a_page(run, tmp_path):
    page = tmp_path / "drift.html"

    assert "0.370" in run("history", "bot", "--html", str(page)).output
    assert page.read_text(encoding="utf-8").count("<circle") == 2


def test_what_is_not_there_is_named_with_the_remedy(run):
    assert "gateway-tuning drift list" in run("show", "drift-7").output
    missing = run("history", "other")

    assert missing.exit_code == 1
    assert "watch-drift" in missing.output
