"""What happened is read from the store: each thing once, with its weight, and with no word of a user."""

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from gateway_tuning.notices.failures import failed_run
from gateway_tuning.notices.happenings import find
from gateway_tuning.notices.notice import Kind, Severity
from gateway_tuning.notices.spending import of_budget
from gateway_tuning.notices.store import NoticeStore
from gateway_tuning.rollout.verification import UNVERIFIABLE
from gateway_tuning.storage.tables import (
    approvals,
    canaries,
    cycle_stages,
    cycles,
    drift_reports,
    erasures,
    runs,
    tuning_jobs,
)
from gateway_tuning.training.cost.limits import Budget, Spending

WORDS = "Anna Kowalska wrote from anna@example.com"


@pytest.fixture
def told(engine, now):
    """Subject to severity of what a look an hour after the first one finds."""
    store = NoticeStore(engine)
    find(engine, store, now)

    def told():
        find(engine, store, now + timedelta(hours=1))
        return {row.notice.subject: row.notice.severity.value for row in store.page("t", limit=50)}

    told.store = store
    return told


def insert(engine, table, **values):
    with engine.begin() as connection:
        connection.execute(sa.insert(table).values(**values))


def cycle_with_gate(engine, outcome, at, reasons):
    common = {"tenant": "t", "model": "m", "plan_hash": "p", "plan": {}, "watermark": 1, "incumbent": "v1"}
    insert(
        engine, cycles, id=outcome, **common, started_by="x", status="finished", reasons=[], created_at=at
    )  # fmt: skip
    insert(
        engine, cycle_stages, cycle_id=outcome, stage="gate", object_id=outcome, seconds=1.0, finished_at=at,
        detail={"reasons": reasons},
    )  # fmt: skip


def canary(engine, id_, state, at, **values):
    usual = {
        "tenant": "t", "model": "m", "candidate": "v2", "control": "v1", "policy": {}, "salt": "s", "stage": 0,
        "share": 0.0, "looks": 1, "reasons": ["worse in errors"], "started_at": at, "stage_started_at": at,
        "finished_at": at,
    }  # fmt: skip
    insert(engine, canaries, id=id_, state=state, **(usual | values))


def test_a_gate_is_told_with_its_reasons_and_without_the_words_that_tell_drift(engine, now, told):
    at = now + timedelta(minutes=1)
    cycle_with_gate(engine, "pass", at, ["better by 0.1", f"drift: no drift ({WORDS})"])
    cycle_with_gate(engine, "fail", at, ["not better"])
    cycle_with_gate(engine, "error", at, ["no evaluation"])
    assert told() == {
        "Gate of m: pass": "information",
        "Gate of m: fail": "warning",
        "Gate of m: error": "alarm",
    }
    bodies = " ".join(row.notice.body for row in told.store.page("t", limit=9))
    assert "better by 0.1" in bodies
    assert WORDS not in bodies


def test_what_was_before_notices_began_is_not_told(engine, now):
    cycle_with_gate(engine, "fail", now - timedelta(hours=1), [])
    store = NoticeStore(engine)
    find(engine, store, now)
    assert find(engine, store, now + timedelta(hours=1)) == 0
    assert store.page("t", limit=9) == []


def test_the_end_of_a_canary_is_told_and_what_a_person_gave_as_reason_is_not(engine, now, told):
    at = now + timedelta(minutes=1)
    canary(engine, "c1", "promoted", at)
    canary(engine, "c2", "rolled_back", at, ended_by="user:ops", reasons=[WORDS])
    canary(engine, "c3", "invalid", at, verification=UNVERIFIABLE)
    assert told() == {
        "Canary of m: promoted": "information",
        "Canary of m: rolled back": "warning",
        "Canary of m: invalid": "alarm",
    }
    assert all(WORDS not in row.notice.body for row in told.store.page("t", limit=9))


def test_an_end_that_has_not_arrived_is_an_alarm_and_one_that_has_is_none(engine, now, told):
    at = now + timedelta(minutes=1)
    canary(engine, "c1", "rolled_back", at, verification="gateway 1 still sends users there")
    canary(engine, "c2", "rolled_back", at, verification="1 gateway serves v1", verified_at=at)
    assert told()["Canary of m: its end has not arrived at every gateway"] == "alarm"
    assert [
        row.notice.object_id for row in told.store.page("t", limit=9) if "arrived" in row.notice.subject
    ] == ["c1"]


def test_an_approval_is_told_while_it_waits(engine, now, told):
    at = now + timedelta(minutes=1)
    usual = {
        "tenant": "t", "model": "m", "candidate": "v2", "awaited_by": "cycle", "requested_by": "prefect",
        "reasons": ["better"], "created_at": at,
    }  # fmt: skip
    insert(engine, approvals, id="a1", awaited_id="c1", state="pending", **usual)
    insert(engine, approvals, id="a2", awaited_id="c2", state="approved", **usual)
    told()
    assert [row.notice.object_id for row in told.store.page("t", limit=9)] == ["a1"]


def test_a_job_that_failed_or_stands_still_is_told_without_its_providers_words(engine, now, told):
    at = now + timedelta(minutes=1)
    usual = {
        "tenant": "t", "provider": "openai", "spec": {"base_model": "b", "dataset_id": "d"}, "message": WORDS,
        "created_at": at, "updated_at": at,
    }  # fmt: skip
    insert(engine, tuning_jobs, key="f" * 64, status="failed", **usual)
    insert(engine, tuning_jobs, key="e" * 64, status="running", stale_since=at, **usual)
    insert(engine, tuning_jobs, key="d" * 64, status="succeeded", **usual)
    assert told() == {
        "Tuning job ffffffffffff at openai failed": "alarm",
        "Tuning job eeeeeeeeeeee at openai has stood still": "warning",
    }
    assert all(WORDS not in row.notice.body for row in told.store.page("t", limit=9))


def test_drift_is_told_without_the_words_that_tell_it(engine, now, told):
    usual = {"tenant": "t", "dataset_id": "d", "reference_id": "v1", "created_at": now + timedelta(minutes=1)}
    insert(engine, drift_reports, id="r1", model="m", result={"state": "drift", "reasons": [WORDS]}, **usual)
    insert(engine, drift_reports, id="r2", model="m", result={"state": "no_drift", "reasons": []}, **usual)
    assert told() == {"m: what users ask has changed": "warning"}
    assert all(WORDS not in row.notice.body for row in told.store.page("t", limit=9))


def test_a_failed_run_is_one_notice_whoever_tells_of_it(engine, now, told):
    at = now + timedelta(minutes=1)
    insert(
        engine, runs, id="run-1", tenant="t", kind="training", parameters={}, request_sha256="", started_by="x",
        status="failed", orchestrator_id="flow-run-1", message=f"ProviderUnavailableError: {WORDS}",
        created_at=at, updated_at=at,
    )  # fmt: skip
    told()
    again = failed_run("flow-run-1", "train-model", "Failed", WORDS, tenant="t")
    assert told.store.add([again], at) == 0
    [row] = told.store.page("t", limit=9)
    assert "A training provider did not answer" in row.notice.body
    assert WORDS not in row.notice.body


@pytest.mark.parametrize(
    ("message", "kind", "said"),
    [
        (f"Flow run encountered an exception: BudgetError: {WORDS}", Kind.COST, "more than may be spent"),
        (
            f"Task run failed: gateway_tuning.errors.ConflictError('{WORDS}')",
            Kind.FAILURE,
            "Somebody else holds",
        ),
        (f"ValueError: {WORDS}", Kind.FAILURE, "ended with ValueError"),
        (f"AnnaKowalskaError: {WORDS}", Kind.FAILURE, "did not say why"),
        (WORDS, Kind.FAILURE, "did not say why"),
        ("", Kind.FAILURE, "did not say why"),
    ],
)
def test_of_what_a_run_said_only_the_name_of_a_known_error_goes_on(message, kind, said):
    notice = failed_run("id-1", "tuning-cycle", "Crashed", message, tenant="t")
    assert (notice.kind, notice.severity, notice.subject) == (
        kind,
        Severity.ALARM,
        "tuning-cycle: the run crashed",
    )
    assert said in notice.body
    assert "Kowalska" not in notice.body


@pytest.mark.parametrize(
    ("spent", "unknown", "subjects"),
    [
        (None, (), []),
        ("79.99", (), []),
        ("80", (), ["Budget of t: the month's budget is near its end"]),
        ("100", (), ["Budget of t: the month's budget is used up"]),
        ("1", ("f" * 64,), ["Budget of t: what was spent this month is not known"]),
    ],
)
def test_a_budget_is_told_near_its_end_and_at_its_end(spent, unknown, subjects):
    amounts = {} if spent is None else {"USD": Decimal(spent)}
    found = of_budget("t", Budget(per_month=Decimal(100)), Spending("2026-11", amounts, unknown))
    assert [notice.subject for notice in found] == subjects


def test_a_tenant_without_a_limit_is_told_nothing_of_money():
    assert list(of_budget("t", Budget(), Spending("2026-11", {"USD": Decimal(10**6)}, ("f",)))) == []


def test_an_erasure_that_is_incomplete_is_an_alarm(engine, now, told):
    insert(
        engine, erasures, id="e1", tenant="t", subject_id="s", requested_by="x", state="incomplete",
        erased_at=now + timedelta(minutes=1), counts={},
    )  # fmt: skip
    assert told() == {"An erasure is incomplete": "alarm"}
