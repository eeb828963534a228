"""What follows a check of live use, and how it is made, on real stores and without Prefect."""

import shutil
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from flows import watch_drift
from gateway_tuning.cycles.cycle import CycleOutcome
from gateway_tuning.datasets.build import Request, build, sweep
from gateway_tuning.datasets.building.workshop import alone
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.drift.live.policy import LiveDriftPolicy
from gateway_tuning.drift.live.served import Served
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.drift.store import CheckKind, StoredDriftReport
from gateway_tuning.errors import OrchestratorError
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.registry.model_version import STABLE, ModelVersion
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.runs.approvals import ApprovalState
from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.run import Intent, RunKind
from gateway_tuning.runs.store import start_unstarted
from gateway_tuning.settings import Settings
from tasks import approvals, drift, live_drift
from tasks.approvals import ApprovalForm
from tasks.runtime import Runtime
from tests.conftest import NOW
from tests.orchestrator import MemoryOrchestrator

QUICK = DriftSettings(permutations=199)
CYCLE = RunKind.TUNING_CYCLE.deployment
SERVED = Served("acme", "bot", "bot@1")


@pytest.fixture
def rt(tmp_path, migrated_sqlite, monkeypatch):
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    found = Runtime(Settings(_env_file=None, home=tmp_path, prefect_api_url="http://127.0.0.1:9/api"))
    found.__dict__["prefect"] = MemoryOrchestrator()
    for module in (live_drift, drift, approvals):
        monkeypatch.setattr(module, "runtime", lambda: found)
        monkeypatch.setattr(module, "now", lambda: NOW)
    # There is no Prefect here to show anything.
    monkeypatch.setattr(live_drift, "create_markdown_artifact", lambda *_, **__: None)
    yield found
    found.engine.dispose()


@pytest.fixture
def version(rt):
    made = ModelVersion(
        id="bot@1", tenant="acme", model="bot", base_model="b", provider="llama", created_at=NOW
    )
    rt.registry.register(made)
    rt.registry.point("bot", STABLE, made.id, reason="a test", now=NOW)
    return made


@pytest.fixture
def act(rt, version):
    def act(on_drift, state="drift", number=1):
        result = {"state": state, "reasons": ["texts: other words"], "metrics": [], "score": None}
        report = StoredDriftReport(
            f"drift-{number}", "acme", "", "bot@1", result, NOW, "bot", CheckKind.LIVE, number, 0.01
        )
        rt.drift.add(report)
        return live_drift.act_on_drift.fn(report.id, LiveDriftPolicy(on_drift=on_drift))

    return act


def names(rt):
    return [event.name for event in rt.prefect.events]


def open_cycle(rt):
    return rt.cycles.open(
        tenant="acme",
        model="bot",
        plan={"model": "bot"},
        watermark=0,
        incumbent="bot@1",
        started_by="a",
        now=NOW,
    )


@pytest.mark.parametrize("state", ["no_drift", "inconclusive", "error", "not_applicable"])
def test_nothing_follows_what_is_no_drift(rt, act, state):
    assert act("start_cycle", state) == f"nothing: {state.replace('_', ' ')}"
    assert names(rt) == []


def test_drift_is_told_whatever_the_policy_says(rt, act):
    assert act("note") == "noted"
    assert names(rt) == ["drift.found"]


def cycles_started(rt):
    return [name for name, (deployment, _, _) in rt.prefect.started.items() if deployment == CYCLE]


def test_a_cycle_is_started_once_with_the_plan_of_the_last_one(rt, act):
    cycle = open_cycle(rt)
    rt.cycles.finish(cycle.id, CycleOutcome.REJECTED, (), now=NOW)

    done = act("start_cycle")
    live_drift.act_on_drift.fn("drift-1", LiveDriftPolicy(on_drift="start_cycle"))

    assert done.startswith("a tuning cycle was started: run-1")
    assert cycles_started(rt) == ["run-1"]
    run = rt.runs.get("run-1")
    assert (run.parameters["plan"]["model"], run.parameters["plan"]["tenant"]) == ("bot", "acme")
    assert run.started_by == "flow:watch-drift"


def test_a_due_cycle_that_nobody_could_start_is_started_once_by_the_scheduled_check(rt, act):
    rt.prefect.answers = False
    with pytest.raises(OrchestratorError):
        act("start_cycle")
    rt.prefect.answers = True
    later = NOW + timedelta(minutes=10)

    assert "run-1 is about to start" in act("start_cycle", number=2)  # the next night finds the same drift
    for _ in range(2):
        start_unstarted(rt.runs, rt.prefect, now=later, grace_s=120)

    assert cycles_started(rt) == ["run-1"]


def test_drift_between_halves_of_one_dataset_is_told_and_begins_nothing(rt, version):
    result = {"state": "drift", "reasons": ["topics"], "metrics": [], "score": None}
    rt.drift.add(
        StoredDriftReport(
            "drift-1", "acme", "ds-1", "older half of ds-1", result, NOW, "bot", CheckKind.DATASET, 1, 0.01
        )
    )

    done = live_drift.act_on_drift.fn("drift-1", LiveDriftPolicy(on_drift="start_cycle"))

    assert done.startswith("noted: the halves of one dataset")
    assert (names(rt), rt.prefect.started) == (["drift.found"], {})


def test_the_approval_that_drift_of_a_dataset_asks_for_names_the_dataset(rt, version):
    result = {"state": "drift", "reasons": ["topics"], "metrics": [], "score": None}
    rt.drift.add(
        StoredDriftReport("drift-1", "acme", "ds-2", "ds-1", result, NOW, "bot", CheckKind.DATASET, 1, 0.01)
    )

    live_drift.act_on_drift.fn("drift-1", LiveDriftPolicy(on_drift="ask"))

    (asked,) = rt.approvals.page("acme", limit=9)
    assert (asked.candidate, asked.requested_by) == ("ds-2", "flow:check-drift")


@pytest.mark.parametrize("on_drift", ["start_cycle", "ask"])
def test_no_second_cycle_is_begun_while_one_is_open(rt, act, on_drift):
    cycle = open_cycle(rt)

    assert act(on_drift) == f"noted: cycle {cycle.id} is under way"
    assert names(rt) == ["drift.found"]
    assert rt.approvals.page("acme", limit=9) == []


def test_a_gate_that_would_block_the_cycle_is_warned_of(act):
    assert "gate.on_drift be ask" in act("start_cycle")


def test_an_approval_starts_the_cycle_once_it_is_granted(rt, act):
    assert act("ask").startswith("an approval was asked for")

    (asked,) = rt.approvals.page("acme", limit=9)
    assert (asked.model, asked.candidate, asked.awaited_by, asked.requested_by) == (
        "bot", "bot@1", "run", "flow:watch-drift",
    )  # fmt: skip
    assert asked.reasons[1] == "texts: other words"
    assert [deployment for deployment, _, _ in rt.prefect.started.values()] == [approvals.DEPLOYMENT]
    assert approvals.answer_approval.fn(asked, ApprovalForm(decision="approve", by="ben")) is None
    run = rt.runs.get(asked.awaited_id)
    assert (run.kind, run.status, run.parameters["plan"]["model"]) == (
        "tuning-cycle",
        RunStatus.QUEUED,
        "bot",
    )
    assert rt.prefect.started[run.id][0] == "tuning-cycle/tuning-cycle"


def test_the_next_nights_do_not_ask_again_while_nobody_has_answered(rt, act):
    act("ask")

    assert "waits for a decision" in act("ask", number=2)
    assert len(rt.approvals.page("acme", limit=9)) == 1


def test_an_orchestrator_that_does_not_answer_loses_no_approval(rt, act):
    rt.prefect.answers = False

    with pytest.raises(OrchestratorError):
        act("ask")
    rt.prefect.answers = True
    live_drift.act_on_drift.fn("drift-1", LiveDriftPolicy(on_drift="ask"))
    live_drift.act_on_drift.fn("drift-1", LiveDriftPolicy(on_drift="ask"))

    assert len(rt.approvals.page("acme", limit=9, state=ApprovalState.PENDING)) == 1


@pytest.mark.parametrize("by", ["Anna", "user:anna", " anna "])
def test_whoever_asked_cannot_approve_by_a_form_either_but_may_take_it_back(rt, version, by):
    cycle = open_cycle(rt)
    rt.approvals.await_for_cycle(cycle.id, candidate="bot@2", reasons=(), now=NOW)
    (asked,) = rt.approvals.page("acme", limit=9)
    asked = replace(asked, requested_by="user:anna")

    assert "cannot approve it alone" in approvals.answer_approval.fn(
        asked, ApprovalForm(decision="approve", by=by)
    )
    assert approvals.answer_approval.fn(asked, ApprovalForm(decision="reject", by=by)) is None
    assert rt.cycles.get(cycle.id).outcome is CycleOutcome.REJECTED


def test_a_form_is_closed_once_its_approval_was_decided_elsewhere(rt, version, monkeypatch):
    runs = [
        rt.approvals.request_run(
            Intent(f"run-{number}", "acme", RunKind.CANARY, {}, "user:anna", "0" * 64),
            model="bot", candidate="bot@2", reasons=(), now=NOW,
        )
        for number in (1, 2)
    ]  # fmt: skip
    by_run = {one.awaited_id: one.id for one in rt.approvals.page("acme", limit=9)}
    decided, waiting = (by_run[run.id] for run in runs)
    monkeypatch.setattr(
        MemoryOrchestrator,
        "under_way",
        lambda self, deployment, now: [p for d, p, _ in self.started.values() if d == deployment],
        raising=False,
    )

    assert set(approvals.see_to_forms.fn()["opened"]) == {decided, waiting}
    rt.approvals.decide(decided, "reject", tenant="acme", by="user:ben", comment=None, now=NOW)

    assert approvals.see_to_forms.fn() == {"opened": [waiting], "closed": [decided]}
    statuses = {name: run.status for name, run in rt.prefect.runs.items()}
    assert statuses == {f"o-form:{decided}": RunStatus.CANCELLED, f"o-form:{waiting}": RunStatus.QUEUED}


def test_a_form_that_somebody_opened_by_hand_without_the_tenant_is_no_fault(rt, monkeypatch):
    run = Intent("run-1", "default", RunKind.CANARY, {}, "user:anna", "0" * 64)
    rt.approvals.request_run(run, model="bot", candidate="bot@2", reasons=(), now=NOW)
    (waiting,) = rt.approvals.page("default", limit=9)
    by_hand = [{"approval_id": waiting.id}]
    monkeypatch.setattr(MemoryOrchestrator, "under_way", lambda *_, **__: by_hand, raising=False)

    assert approvals.see_to_forms.fn() == {"opened": [waiting.id], "closed": []}


def test_an_answer_needs_a_name():
    with pytest.raises(ValidationError, match="by"):
        ApprovalForm(decision="approve", by="  ")


def test_forms_can_be_switched_off(rt, act):
    object.__setattr__(rt, "settings", rt.settings.model_copy(update={"approval_forms": False}))

    act("ask")

    assert rt.prefect.started == {}
    assert len(rt.approvals.page("acme", limit=9)) == 1


@pytest.fixture
def asked(rt):
    """Requests `days` ago of 80 users, five each."""

    def asked(days, length, version_id="bot@1"):
        made = [
            Outcome(
                answer_id=f"{version_id}-{days}-{user}-{number}", model="bot", canary_id=None, arm="stable",
                version_id=version_id,
                user_key=f"u{user}", at=NOW - timedelta(days=days, seconds=number), latency_ms=1.0,
                prompt_chars=length + 7 * user + number, answer_chars=100 + user, refused=user % 10 == 0,
            )
            for user in range(80)
            for number in range(5)
        ]  # fmt: skip
        OutcomeStore(rt.engine).write(made)

    return asked


def check(at=NOW):
    return live_drift.check_live_drift.fn(SERVED, LiveDriftPolicy(), QUICK, at)


@pytest.mark.parametrize(("length", "state"), [(100, "no_drift"), (900, "drift")])
def test_longer_questions_than_at_first_are_drift(rt, version, asked, length, state):
    asked(30, 100)
    asked(1, length)

    report = rt.drift.get(check().id)

    assert report.state == state, report.result["reasons"]
    assert (report.kind, report.model, report.reference_id) == ("live", "bot", "bot@1")
    assert report.check_number == 1
    assert 0 < report.alpha < QUICK.alpha
    assert report.result["parts"] == {"texts": "not_applicable", "traffic": state}


def test_each_check_spends_less_and_the_same_one_is_made_once(rt, version, asked):
    asked(30, 100)
    asked(1, 100)
    first, again, next_ = check(), check(), check(NOW + timedelta(hours=1))

    assert first == again
    found = rt.drift.history("acme", "bot")
    assert [report.id for report in found] == sorted({first.id, next_.id}, key=[first.id, next_.id].index)
    assert {report.check_number for report in found} == {1, 2}
    by_number = {report.check_number: report.alpha for report in found}
    assert by_number[2] < by_number[1]


def test_a_young_version_is_undecided_and_spends_nothing(rt, version, asked):
    asked(2, 100)

    report = rt.drift.get(check().id)

    assert (report.state, report.check_number, report.alpha) == ("inconclusive", None, None)


def test_a_part_that_cannot_be_made_is_an_error_with_its_reason(rt, asked):
    rt.registry.register(
        ModelVersion(
            id="bot@1", tenant="acme", model="bot", base_model="b", provider="llama", created_at=NOW,
            dataset_id="ds-gone",
        )
    )  # fmt: skip
    asked(30, 100)
    asked(1, 100)

    report = rt.drift.get(check().id)

    assert report.state == "error"
    assert "texts: NotFoundError: No dataset ds-gone" in report.result["reasons"][0]
    assert report.result["parts"]["traffic"] == "no_drift"


def test_an_error_that_may_quote_a_user_is_told_by_its_kind_alone(rt, version, asked, monkeypatch):
    def broken(*_, **__):
        raise ValueError("Clara Oswald asked")

    monkeypatch.setattr(live_drift, "read_traffic", broken)

    report = rt.drift.get(check().id)

    assert report.state == "error"
    assert "Clara" not in str(report.result)


def test_a_check_that_failed_is_made_again_by_the_next_run_of_the_same_time(rt, version, asked, monkeypatch):
    def broken(*_, **__):
        raise ValueError("no database")

    asked(30, 100)
    asked(1, 100)
    with monkeypatch.context() as at_first:
        at_first.setattr(live_drift, "read_traffic", broken)
        failed = check()

    assert failed.detail["state"] == "error"
    assert check().detail["state"] == "no_drift"


def test_a_model_that_cannot_be_seen_to_keeps_no_other_from_being_checked(rt, version, asked, monkeypatch):
    made = replace(version, id="all@1", model="all")
    rt.registry.register(made)
    rt.registry.point("all", STABLE, made.id, reason="a test", now=NOW)
    for version_id, length in (("all@1", 900), ("bot@1", 100)):
        asked(30, 100, version_id)
        asked(1, length, version_id)
    rt.prefect.answers = False  # nobody can be told of the drift of the first
    plain = {
        name: getattr(live_drift, name).fn for name in ("served_models", "check_live_drift", "act_on_drift")
    }
    monkeypatch.setattr(watch_drift, "live_drift", SimpleNamespace(**plain))
    monkeypatch.setattr(watch_drift, "datetime", SimpleNamespace(now=lambda _: NOW))

    with pytest.raises(OrchestratorError, match=r"acme/all.*OrchestratorError.*acme/bot.*no_drift"):
        watch_drift.watch_drift.fn(settings=QUICK)

    assert [one.state for one in rt.drift.history("acme", "bot")] == ["no_drift"]


def questions(first, count, words, days):
    """Of users who ask five times each, `days` ago."""
    return [
        FeedbackRecord(
            id=f"f{number}", tenant="acme", user_id=f"u{number // 5}", type="correction", response="No.",
            prompt=f"Where is the {words[number % len(words)]} of {words[number // 7 % len(words)]} {number * 7919 % 900 + 100}?",
            corrected_response=f"See page {number * 7919 % 900 + 100}.", timestamp=NOW - timedelta(days=days, minutes=number),
        )
        for number in range(first, first + count)
    ]  # fmt: skip


@pytest.mark.slow
def test_another_topic_in_the_feedback_of_the_window_is_found_and_nothing_of_it_is_kept(rt):
    things, ends = ("order", "refund", "login", "ticket", "lamp", "kite"), ("s", "ed", "ing", "er", "less")
    words = [f"{thing}{end}" for thing in things for end in ends]
    rt.feedback.add(questions(0, 420, words, 40), NOW)
    workshop, watermark = rt.workshop(), rt.feedback.watermark("acme")
    request = Request("k", "acme", DatasetRecipe(), watermark, "a", NOW)
    built = build(request, workshop, alone(workshop))
    rt.datasets.add(
        "k", built.manifest, built.fates, watermark=watermark, erasures_before=frozenset(), now=NOW
    )
    sweep(workshop, "k")
    rt.registry.register(
        ModelVersion(
            id="bot@1", tenant="acme", model="bot", base_model="b", provider="llama", created_at=NOW,
            dataset_id=built.manifest.dataset_id,
        )
    )  # fmt: skip
    pets = [f"{pet}{end}" for pet in ("puppy", "kitten", "leash", "vaccine", "parrot") for end in ends]
    rt.feedback.add(questions(1000, 210, words, 3), NOW)
    rt.feedback.add(questions(2000, 210, pets, 3), NOW)

    report = rt.drift.get(check().id)

    assert report.result["parts"]["texts"] == "drift"
    drifted = {metric["name"] for metric in report.result["metrics"] if metric["drifted"]}
    assert drifted & {"prompt_words", "topics"}, report.result["reasons"]
    assert report.dataset_id == built.manifest.dataset_id
    stored = [key for key in rt.objects.list_keys("") if not key.startswith(f"datasets/{report.dataset_id}/")]
    assert stored == []
