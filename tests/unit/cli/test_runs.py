"""`gateway-tuning runs` and `approvals`."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from gateway_tuning.access.audit import AuditLog
from gateway_tuning.cli import app
from gateway_tuning.runs.approvals import ApprovalStore
from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.run import Intent, RunKind
from gateway_tuning.runs.store import RunStore
from gateway_tuning.storage.database import open_database


@pytest.fixture
def engine(tmp_path, migrated_sqlite, monkeypatch):
    """The store that the commands find; no Prefect is configured."""
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.setenv("PREFECT_API_URL", "")
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    engine = open_database(f"sqlite:///{tmp_path / 'gateway-tuning.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def approval(engine, now):
    """Of a canary's run that somebody else asked for."""
    intent = Intent("run-1", "default", RunKind.CANARY, {"canary_id": "c1"}, "user:anna", "0" * 64)
    store = ApprovalStore(engine)
    store.request_run(intent, model="assistant", candidate="m@1", reasons=("better by [0.1]",), now=now)
    return store.page("default", limit=1)[0].id


def run(*words):
    return CliRunner().invoke(app, list(words))


def test_what_waits_is_listed_and_shown_with_what_is_known_of_the_candidate(approval):
    (waiting,) = json.loads(run("approvals", "list", "--pending", "--json").stdout)
    shown = run("approvals", "show", approval).output
    (queued,) = json.loads(run("runs", "list", "--json").stdout)

    assert (waiting["approval"], waiting["candidate"], waiting["decided_by"]) == (approval, "m@1", None)
    assert "better by [0.1]" in shown
    assert (queued["run"], queued["status"]) == ("run-1", "awaiting_approval")


def test_an_approved_run_is_queued_and_who_said_so_is_in_the_audit_log(approval, engine):
    result = run("approvals", "approve", approval, "--comment", "looked at the samples")

    assert result.exit_code == 0
    assert f"{approval} is approved" in result.stdout
    assert "PREFECT_API_URL" in result.stderr, "nobody starts it here, and that is said"
    assert json.loads(run("runs", "show", "run-1", "--json").stdout)["status"] == "queued"
    (entry, *_) = AuditLog(engine).page("default", limit=1)
    assert (entry.event.action, entry.event.object_id) == ("approval.approve", approval)
    assert json.loads(run("approvals", "list", "--pending", "--json").stdout) == []


def test_a_rejected_run_is_cancelled_and_a_second_word_changes_nothing(approval):
    run("approvals", "reject", approval)
    again = run("approvals", "approve", approval)

    assert again.exit_code == 1
    assert "rejected by cli:" in again.stderr
    assert json.loads(run("runs", "show", "run-1", "--json").stdout)["status"] == "cancelled"


def test_an_approval_of_another_tenant_is_not_found(approval):
    assert run("approvals", "show", approval, "--tenant", "others").exit_code == 1


@pytest.mark.parametrize(("status", "code"), [(RunStatus.SUCCEEDED, 0), (RunStatus.FAILED, 1)])
def test_who_waits_for_a_run_learns_by_the_exit_code_how_it_ended(engine, now, status, code):
    store = RunStore(engine)
    store.intend(Intent("run-2", "default", RunKind.DATASET, {}, "user:anna", "0" * 64), now=now)
    store.note("run-2", status, "no example is left", now=now)

    result = run("runs", "wait", "run-2")

    assert (result.exit_code, result.stdout) == (code, f"run-2 has ended: {status}\n")
    assert ("no example is left" in result.stderr) == bool(code)


def test_a_wait_for_a_run_that_is_given_up_says_how_it_stands(approval):
    result = run("runs", "wait", "run-1", "--minutes", "0")

    assert result.exit_code == 1
    assert "Run run-1 is still awaiting_approval" in result.stderr
