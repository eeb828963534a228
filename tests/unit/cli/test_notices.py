"""`gateway-tuning notices`."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.notices.notice import Kind, Notice, Severity, notice_id
from gateway_tuning.notices.store import NoticeStore
from gateway_tuning.storage.database import open_database
from tests.unit.notices.servers import webhook

NOTICE = Notice(
    notice_id("gate", "c1"), "default", Kind.GATE, Severity.WARNING, "Gate of m: fail", "- not better"
)


@pytest.fixture
def run(tmp_path, migrated_sqlite, monkeypatch, now):
    """Runs a command on a store with one notice, whose webhook has not taken it yet."""
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "240")
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    engine = open_database(f"sqlite:///{tmp_path / 'gateway-tuning.db'}")
    NoticeStore(engine, {"webhook": Severity.INFORMATION}).add([NOTICE], now)
    engine.dispose()
    return lambda *words: CliRunner().invoke(app, ["notices", *words])


def test_notices_are_listed_with_what_became_of_them(run):
    assert "Gate of m: fail" in run("list").stdout
    assert "webhook waits" in run("list").stdout
    [row] = json.loads(run("list", "--json").stdout)
    assert (row["notice"], row["severity"], row["delivered"]) == (NOTICE.id, "warning", "webhook waits")


def test_a_notice_is_shown_by_the_beginning_of_its_id(run):
    assert "- not better" in run("show", NOTICE.id[:12]).stdout
    assert json.loads(run("show", NOTICE.id, "--json").stdout)["notice"]["subject"] == "Gate of m: fail"
    unknown = run("show", "f" * 12)
    assert unknown.exit_code == 1
    assert "gateway-tuning notices list" in unknown.output


def test_a_channel_is_tried_and_one_that_takes_nothing_ends_with_1(run, monkeypatch):
    assert "No channel is set up" in run("test").output
    with webhook((200, {}), (404, {})) as (url, came):
        monkeypatch.setenv("GATEWAY_TUNING_NOTIFY_WEBHOOK_URL", url)
        well, badly = run("test"), run("test")
    assert (well.exit_code, well.stdout) == (0, "webhook: sent\n")
    assert (badly.exit_code, "The webhook answered 404" in badly.output) == (1, True)
    assert len(came) == 2
