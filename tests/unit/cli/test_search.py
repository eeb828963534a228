"""`gateway-tuning search` as far as it goes without a run."""

import json
from dataclasses import replace

import pytest
import yaml
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.storage import leases
from gateway_tuning.storage.database import open_database
from gateway_tuning.training.search.outcome import result_of
from gateway_tuning.training.search.store import SearchStore
from tests.conftest import NOW
from tests.unit.training.search.conftest import make_plan, make_trial

PLAN = {"space": {"parameters": [{"type": "discrete", "name": "rank", "min": 2, "max": 8}]}}


@pytest.fixture
def run(tmp_path, monkeypatch, migrated_sqlite):
    (tmp_path / "gateway-tuning.db").write_bytes(migrated_sqlite.read_bytes())
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")
    return lambda *arguments: CliRunner().invoke(app, ["search", *map(str, arguments)])


@pytest.fixture
def searched(run, tmp_path):
    """A search that has ended: the second of two trials is better."""
    engine = open_database(f"sqlite:///{tmp_path / 'gateway-tuning.db'}")
    store = SearchStore(engine)
    search = store.open("ds-1", make_plan(), tenant="default", now=NOW)
    owner = leases.this_process()
    lease = leases.acquire(engine, search.lease_name, owner=owner, now=NOW, seconds=60)
    trials = [make_trial(0, 0.5), make_trial(1, 0.25, message="")]
    for trial in trials:
        store.add(replace(trial, search_id=search.id), lease=lease)
    store.finish(search.id, "trials: all 2 were begun", result_of(search, trials), now=NOW, lease=lease)
    engine.dispose()
    return search.id


def test_searches_are_listed_and_the_trials_and_verdict_of_one_are_shown(run, searched):
    listed, shown = run("show"), run("show", "search-")

    assert searched in listed.output
    assert "trials: all 2 were begun" in listed.output
    assert "0.2500" in shown.output
    assert "rate=0.001" in shown.output
    assert "The default is beaten by 0.2500 in one run each" in shown.output


def test_the_plan_to_train_by_is_printed_as_a_cycle_takes_it(run, searched):
    from gateway_tuning.cycles.plan import CyclePlan

    training = json.loads(run("show", searched, "--training").output)

    assert CyclePlan(training=training).training.hyperparameters == {"rate": 0.001}


def test_a_search_that_has_ended_is_not_resumed(run, searched):
    resumed = run("resume", searched)

    assert resumed.exit_code == 0
    assert "has ended: trials: all 2 were begun" in resumed.output


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (PLAN | {"sampler": "grid"}, "sampler: Input should be 'tpe' or 'random'"),
        ({"space": {"parameters": [{"type": "discrete", "name": "rank", "min": 2, "max": 1}]}}, "min 2 above max 1"),
        ({"space": {"parameters": [{"type": "discrete", "name": "ranks", "min": 1, "max": 2}]}}, "no hyperparameter ranks"),
        (PLAN, "ds-9"),
        ("a text", "is no plan"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_begin_says_why_in_one_line(run, tmp_path, content, told):
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(content))

    result = run("start", "ds-9", plan)

    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_a_search_that_is_not_there_says_so(run):
    assert "No searches begin with s9" in run("resume", "s9").stderr
