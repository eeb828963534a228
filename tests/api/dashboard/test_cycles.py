"""A cycle on its page: the stages it went through, what they made, and who works on it."""

import re
from dataclasses import replace

import pytest

from gateway_tuning.access.permissions import Role
from gateway_tuning.api.dashboard.cycles import STAGES, steps
from gateway_tuning.cycles.cycle import CycleOutcome, CycleStatus, Stage, StageResult
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.runs.approvals import ApprovalStore
from gateway_tuning.storage import leases
from gateway_tuning.training.job import JobStatus, ProviderJob, TuningSpec
from gateway_tuning.training.jobs import JobStore
from tests.api.dashboard.conftest import HOME
from tests.conftest import NOW
from tests.unit.cycles.test_summary import cycle as ended_cycle

RUN = "3b68b244-a066-4478-9a3a-a727ce7dae17"
DETAILS = {
    "dataset": {"records": 417, "used": 402, "examples": {"train": {"demonstration": 700}, "test": {"preference": 49}}},
    "train": {"metrics": {"train_loss": 0.16946, "tokens": 19865.0}},
    "evaluate": {"state": "scored", "primary": "similarity", "difference": {"mean": 0.549, "low": 0.483, "high": 0.608}},
    "drift": {"state": "no_drift", "reasons": ["None of 8 features has changed"]},
    "gate": {"reasons": ["better than +0.000"]},
}  # fmt: skip
MADE = {
    "dataset": "ds-1",
    "train": "m@base/model",
    "evaluate": "eval-1",
    "drift": "drift-1",
    "gate": "pass",
    "canary": "c1",
}


@pytest.fixture
def begun(engine):
    """A cycle with its stages up to the one named."""

    def begin(last=None, run=RUN):
        store = CycleStore(engine)
        cycle = store.open(
            tenant="default",
            model="m",
            plan={"model": "m", "training": {"epochs": 2}},
            watermark=417,
            incumbent="m@0",
            started_by="prefect",
            now=NOW,
        )
        lease = leases.acquire(engine, cycle.lease_name, owner="tests", now=NOW, seconds=60)
        store.carried_by(cycle.id, run, lease=lease)
        for stage in STAGES[: 0 if last is None else STAGES.index(last) + 1]:
            result = StageResult(id=MADE[stage], detail=DETAILS.get(stage, {}))
            store.record_stage(cycle.id, stage, result, seconds=230.1, lease=lease, now=NOW)
        return cycle

    return begin


@pytest.fixture
def api_settings(api_settings):
    return api_settings.model_copy(update={"prefect_api_url": "http://prefect.test:4200/api"})


def test_the_stages_that_are_done_lead_to_what_they_made_and_the_next_one_is_under_way(signed_in, begun):
    cycle = begun("evaluate")
    page = signed_in(Role.MODEL_VIEWER).get(f"{HOME}/cycles/{cycle.id}").text
    listed = signed_in(Role.MODEL_VIEWER).get(f"{HOME}/cycles").text

    for path in ("datasets/ds-1", "models/versions/m@base/model", "evaluations/eval-1"):
        assert f'href="{HOME}/{path}"' in page
    assert "749 examples of 402 of 417 records" in page
    assert "train loss 0.1695" in page
    assert "similarity +0.549 (+0.483 to +0.608)" in page
    assert re.search(r"Drift <span[^>]*>under way", page)
    assert re.search(r"Gate <span[^>]*>not reached", page)
    assert "took 3 min 50 s" in page
    assert "data-live" in page
    assert "3 of 6" in listed


def test_it_leads_to_the_run_in_prefect_that_carries_it(signed_in, begun):
    page = signed_in(Role.MODEL_VIEWER).get(f"{HOME}/cycles/{begun().id}").text

    assert f'href="http://prefect.test:4200/runs/flow-run/{RUN}"' in page


def test_the_job_of_its_run_is_shown_while_it_trains(signed_in, begun, services):
    cycle, jobs = begun("dataset"), JobStore(services.engine)
    job = jobs.intend(TuningSpec("llama", "base", "ds-1"), tenant="default", now=NOW)
    lease = leases.acquire(services.engine, job.lease_name, owner="tests", now=NOW, seconds=60)
    jobs.belongs_to(job.key, RUN, lease=lease)
    jobs.record(job.key, ProviderJob("p", JobStatus.RUNNING, 0.43, "step 43 of 100"), now=NOW, lease=lease)

    page = signed_in(Role.MODEL_VIEWER).get(f"{HOME}/cycles/{cycle.id}").text

    assert re.search(rf'href="{HOME}/jobs/{job.key}">.*?43 %.*?step 43 of 100', page, re.DOTALL)


def test_an_approval_that_it_awaits_is_said_and_leads_an_administrator_to_it(signed_in, begun, engine):
    cycle = begun("gate")
    ApprovalStore(engine).await_for_cycle(cycle.id, candidate="m@1", reasons=(), now=NOW)

    pages = [
        signed_in(role).get(f"{HOME}/cycles/{cycle.id}").text
        for role in (Role.MODEL_ADMIN, Role.MODEL_VIEWER)
    ]

    assert [f'<a href="{HOME}/approvals">An approval</a>' in page for page in pages] == [True, False]
    assert "An administrator&#39;s approval" in pages[1] or "An administrator's approval" in pages[1]
    assert all(re.search(r"Canary <span[^>]*>waiting", page) for page in pages)


def test_one_that_waits_for_another_canary_says_so_and_is_not_shown_at_work(signed_in, begun, engine):
    cycle = begun("gate")
    CycleStore(engine).waits(cycle.id, "canary c9 of m has to end first")

    page = signed_in(Role.MODEL_VIEWER).get(f"{HOME}/cycles/{cycle.id}").text

    assert "canary c9 of m has to end first" in page
    assert re.search(r"Canary <span[^>]*>waiting", page)


def test_an_ended_cycle_says_how_and_lives_no_more(signed_in, begun, engine):
    cycle = begun("gate")
    CycleStore(engine).finish(cycle.id, CycleOutcome.REJECTED, ("worse in <b>relevance</b>",), now=NOW)

    page = signed_in(Role.MODEL_VIEWER).get(f"{HOME}/cycles/{cycle.id}").text

    assert '<span class="badge bad">rejected</span>' in page
    assert "worse in &lt;b&gt;relevance&lt;/b&gt;" in page
    assert re.search(r"Canary <span[^>]*>not reached", page)
    assert "data-live" not in page


def test_what_an_earlier_version_left_of_a_stage_is_enough_for_its_place():
    stages = {name: Stage(name, StageResult(id=MADE[name]), 1.0, NOW) for name in STAGES}

    shown = steps(ended_cycle(), stages, canary_state=None)

    assert [(step.name, step.state, step.made) for step in shown] == [
        (name, "done", MADE[name]) for name in STAGES
    ]


@pytest.mark.parametrize(("decision", "tone"), [("pass", "good"), ("fail", "bad"), ("inconclusive", "note"), ("error", "bad")])  # fmt: skip
def test_a_gate_that_did_not_pass_is_not_shown_as_good(decision, tone):
    stages = {"gate": Stage("gate", StageResult(id=decision), 1.0, NOW)}

    (gate,) = [step for step in steps(ended_cycle(), stages, canary_state=None) if step.name == "gate"]

    assert (gate.told, gate.tone) == (decision, tone)


def test_a_canary_that_runs_is_the_stage_under_way():
    cycle = replace(ended_cycle(), status=CycleStatus.IN_CANARY, outcome=None, finished_at=None)
    stages = {name: Stage(name, StageResult(id=MADE[name]), 1.0, NOW) for name in STAGES}

    assert [step.state for step in steps(cycle, stages, canary_state="running")] == ["done"] * 5 + [
        "under way"
    ]
