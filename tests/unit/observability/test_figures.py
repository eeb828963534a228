"""What the loop's figures say of a store, and that they say nothing where nothing is known."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.threshold import ThresholdStore
from gateway_tuning.notices.notice import Kind, Notice, Severity, notice_id
from gateway_tuning.notices.store import NoticeStore
from gateway_tuning.observability.figures import read_figures
from gateway_tuning.observability.operators import may_know
from gateway_tuning.observability.scrape import LoopMetrics
from gateway_tuning.storage.tables import (
    approvals,
    budgets,
    canaries,
    canary_looks,
    cost_reservations,
    drift_reports,
    tuning_jobs,
)


@pytest.fixture
def read(engine, now):
    """Name and labels to value."""
    thresholds = ThresholdStore(engine, default_count=3, default_hours=24)

    def read():
        return {
            (figure.name, *sample.labels): sample.value
            for figure in read_figures(engine, thresholds, now)
            for sample in figure.samples
        }

    return read


def insert(engine, table, **values):
    with engine.begin() as connection:
        connection.execute(sa.insert(table).values(**values))


def test_an_empty_store_has_no_figures_but_counts_of_nothing(read):
    assert read() == {("jobs_stale",): 0, ("approvals_waiting",): 0, ("erasures_open",): 0}


def test_feedback_is_counted_by_type_and_held_against_the_threshold(engine, read, now, make_record):
    hours = {"thumbs_up": [1], "thumbs_down": [2, 72]}
    records = [
        make_record(f"{kind}{ago}", kind, timestamp=now - timedelta(hours=ago))
        for kind, agos in hours.items()
        for ago in agos
    ]
    FeedbackStore(engine).add(records, received_at=now)
    found = read()
    assert found["feedback_last_day", "thumbs_up"] == 1
    assert found["feedback_last_day", "thumbs_down"] == 1
    assert found["feedback_received_timestamp_seconds",] == now.timestamp()
    assert (found["threshold_counted", "assistant"], found["threshold_needed", "assistant"]) == (3, 3)


def test_jobs_are_counted_by_provider_and_state(engine, read, now):
    usual = {"tenant": "t", "spec": {}, "created_at": now, "updated_at": now}
    for key, status, stale in [("a", "running", now), ("b", "running", None), ("c", "failed", now)]:
        insert(
            engine, tuning_jobs, key=key, provider="openai", status=status, stale_since=stale, **usual
        )  # fmt: skip
    found = read()
    assert found["jobs", "openai", "running"] == 2
    assert found["jobs", "openai", "failed"] == 1
    assert found["jobs", "openai", "cancelled"] == 0  # so that the first one is a rise
    assert found["jobs_stale",] == 1


def canary(engine, now, id_, state, **values):
    usual = {
        "tenant": "t", "model": "m", "candidate": "v2", "control": "v1", "policy": {}, "salt": "s", "stage": 1,
        "share": 0.0, "looks": 1, "reasons": [], "started_at": now - timedelta(hours=1), "stage_started_at": now,
    }  # fmt: skip
    insert(engine, canaries, id=id_, state=state, **(usual | values))


def test_a_canary_tells_its_share_and_since_when_nobody_looked(engine, read, now):
    canary(engine, now, "c1", "running", share=0.25)
    assert read()["canary_look_age_seconds", "m"] == 3600
    insert(
        engine, canary_looks, canary_id="c1", look=1, at=now - timedelta(seconds=90), stage=1, share=0.25,
        decision="hold", verdict={},
    )  # fmt: skip
    found = read()
    assert (found["canary_share", "m"], found["canary_stage", "m"]) == (0.25, 1)
    assert found["canary_look_age_seconds", "m"] == 90


def test_ends_that_no_gateway_confirmed_are_counted(engine, read, now):
    canary(engine, now, "c1", "rolled_back", finished_at=now, verification="still there")
    canary(engine, now, "c2", "promoted", finished_at=now, verification="it serves", verified_at=now)
    found = read()
    assert found["canary_ends_unverified", "m"] == 1
    assert (found["canaries_ended", "rolled_back"], found["canaries_ended", "promoted"]) == (1, 1)
    assert ("canary_share", "m") not in found


def test_money_is_told_by_tenant_and_what_is_not_known_is_counted_apart(engine, read, now):
    insert(
        engine, budgets, tenant="t", currency="USD", per_month="50", updated_by="x", updated_at=now
    )  # fmt: skip
    usual = {
        "tenant": "t", "month": f"{now:%Y-%m}", "provider": "p", "base_model": "b", "method": "sft",
        "currency": "USD", "confidence": "high", "detail": {}, "created_at": now,
    }  # fmt: skip
    insert(engine, cost_reservations, job_key="a", state="reserved", ceiling="12.5", **usual)
    insert(engine, cost_reservations, job_key="b", state="settled", actual="7.5", ceiling="9", **usual)
    insert(engine, cost_reservations, job_key="c", state="reserved", **usual)
    found = read()
    assert found["month_spent", "t", "USD"] == 20
    assert found["month_budget", "t", "USD"] == 50
    assert found["month_jobs_of_unknown_cost", "t"] == 1


def test_drift_is_that_of_the_newest_check_and_an_undecided_one_finds_nothing(engine, read, now):
    usual = {"tenant": "t", "dataset_id": "d", "reference_id": "v", "kind": "live", "model": "m"}
    older, newer = {"state": "drift", "score": 0.9}, {"state": "no_drift", "score": 0.1}
    insert(engine, drift_reports, id="1", result=older, created_at=now - timedelta(days=1), **usual)
    insert(engine, drift_reports, id="2", result=newer, created_at=now, **usual)
    assert (read()["drift_found", "m"], read()["drift_score", "m"]) == (0, 0.1)
    later = now + timedelta(hours=1)
    insert(engine, drift_reports, id="3", result={"state": "error", "score": None}, created_at=later, **usual)
    assert ("drift_found", "m") not in read()
    assert read()["drift_checked_timestamp_seconds", "m"] == later.timestamp()


def test_approvals_and_notices_that_wait_are_counted(engine, read, now):
    insert(
        engine, approvals, id="a", tenant="t", model="m", candidate="v", awaited_by="cycle", awaited_id="c",
        requested_by="x", reasons=[], state="pending", created_at=now - timedelta(hours=2),
    )  # fmt: skip
    store = NoticeStore(engine, {"webhook": Severity.INFORMATION})
    store.add([Notice(notice_id("n"), "t", Kind.GATE, Severity.ALARM, "s", "b")], now)
    found = read()
    assert (found["approvals_waiting",], found["approval_age_seconds",]) == (1, 7200)
    assert found["notices_undelivered", "webhook", "waiting"] == 1


def test_a_store_that_is_gone_takes_its_figures_along_and_is_read_once_in_a_while():
    answers, seconds = [[], OSError("gone"), OSError("gone")], [0.0]

    def read():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    metrics = LoopMetrics(read, fresh_s=15, clock=lambda: seconds[0])
    assert b"gateway_tuning_loop_figures_readable 1.0" in metrics.text()
    seconds[0] = 14.0
    assert b"gateway_tuning_loop_figures_readable 1.0" in metrics.text()
    seconds[0] = 16.0
    assert b"gateway_tuning_loop_figures_readable 0.0" in metrics.text()
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("key", "host", "headers", "may"),
    [
        ("k", "10.0.0.1", {"authorization": "Bearer k"}, True),
        ("k", "127.0.0.1", {}, False),
        ("k", "10.0.0.1", {"authorization": "Bearer é"}, False),
        (None, "127.0.0.1", {}, True),
        (None, "::1", {}, True),
        (None, "10.0.0.1", {}, False),
        (None, "127.0.0.1", {"x-forwarded-for": "1.2.3.4"}, False),
        (None, "testclient", {}, False),
        (None, None, {}, False),
    ],
)
def test_the_loops_figures_are_the_operators(key, host, headers, may):
    assert may_know(key, host, headers) is may
