"""The gate's stage: from stored evaluation and drift check to a decision with its reasons."""

from dataclasses import asdict

import pytest

from deployments import demo
from gateway_tuning.cycles.cycle import Stage, StageResult
from gateway_tuning.cycles.summary import summarize
from gateway_tuning.drift.store import StoredDriftReport
from gateway_tuning.evaluation.result import read_result
from gateway_tuning.evaluation.store import StoredEvaluation
from gateway_tuning.rollout.gate import GatePolicy
from gateway_tuning.settings import Settings
from tasks import rollout
from tasks.runtime import Runtime
from tests.conftest import NOW
from tests.unit.cycles.test_summary import cycle
from tests.unit.evaluation.earlier import stored
from tests.unit.rollout.test_gate_evidence import evaluated


@pytest.fixture
def shown():
    return []


@pytest.fixture
def rt(tmp_path, engine, monkeypatch, shown):
    url = engine.url.render_as_string(hide_password=False)
    found = Runtime(Settings(_env_file=None, home=tmp_path, database_url=url))
    # There is no Prefect here to show anything.
    monkeypatch.setattr(rollout, "create_markdown_artifact", lambda text, **_: shown.append(text))
    monkeypatch.setattr(rollout, "runtime", lambda: found)
    yield found
    found.engine.dispose()


def gate(rt, result, state="no_drift", **policy):
    drift = {"state": state, "reasons": ["topics moved"]}
    rt.drift.add(StoredDriftReport("drift-1", "default", "ds-2", "ds-1", drift, NOW))
    rt.evaluations.add(StoredEvaluation("eval-1", "default", "m", "m@2", "m@1", "ds-2", result, NOW))
    return rollout.decide_gate.fn("eval-1", "drift-1", GatePolicy(**policy))


def test_a_better_candidate_passes_and_every_reason_is_kept_and_shown(rt, shown):
    found = gate(rt, asdict(evaluated()))

    assert found.id == "pass"
    assert any("better than +0.000: similarity" in reason for reason in found.detail["reasons"])
    assert "drift: no drift (topics moved)" in found.detail["reasons"]
    assert shown[0].startswith("# Gate: pass\n- better than")


def test_drift_blocks_unless_the_policy_says_otherwise(rt):
    assert gate(rt, asdict(evaluated()), "drift").id == "fail"
    assert rollout.decide_gate.fn("eval-1", "drift-1", GatePolicy(on_drift="ask")).id == "pass"


def test_an_evaluation_of_the_version_before_lacks_the_hard_checks_and_is_to_be_made_again(rt):
    found = gate(rt, stored(), max_failed_share=0.05)

    assert found.id == "error"
    for name in ("json_validity", "personal_data", "refusal"):
        remedy = f"evaluate again with {name} among the metrics, or set "
        assert any(remedy in reason for reason in found.detail["reasons"])
    assert "a reason" in found.detail["reasons"]


def test_the_demos_table_shows_the_metric_that_decides():
    stage = Stage("evaluate", StageResult(id="eval-1", detail={}), 1.0, NOW)
    summary = summarize(cycle(), {"evaluate": stage}, evaluation=read_result(stored()))
    feedback = dict.fromkeys(("imported", "replaced", "read", "duplicates", "quarantined"), 0)

    rows = demo.rows(summary | {"feedback": feedback})

    assert ("similarity", "stable 0.500, candidate 0.610, difference +0.110 (+0.040 to +0.180)") in rows
