"""A search with the real local model, as the command line starts it: killed in the middle, gone on with, shown."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from gateway_tuning.storage.database import open_database
from gateway_tuning.training.search.store import SearchStore
from tests.base_model import give_base_model
from tests.conftest import NOW
from tests.erasure_world import anonymizer, correction, empty_world  # noqa: F401 - fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
PLAN = {
    "training": {
        "hyperparameters": {"max_steps": 4, "evaluate_every": 2, "batch_size": 2, "validation_chats": 4}
    },
    "space": {
        "parameters": [
            {"type": "continuous", "name": "learning_rate", "min": 1e-3, "max": 1e-2, "log_scale": True},
            {"type": "discrete", "name": "rank", "min": 2, "max": 8},
        ]
    },
    "startup_trials": 1,
    "budget": {"trials": 3},
}


class Command:
    def __init__(self, home):
        self.home = home

    def start(self, *arguments):
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GATEWAY_TUNING_", "PREFECT_"))
        }
        return subprocess.Popen(
            [sys.executable, "-m", "gateway_tuning.cli", "search", *arguments],
            cwd=ROOT,
            env=clean | {"GATEWAY_TUNING_HOME": str(self.home), "COLUMNS": "300"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments):
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        return output

    def trials(self):
        engine = open_database(f"sqlite:///{self.home / 'gateway-tuning.db'}")
        store = SearchStore(engine)
        found = [trial for search in store.all() for trial in store.trials(search.id)]
        engine.dispose()
        return found

    def jobs(self):
        """What the provider has, each with how often its training was begun from nothing."""
        logs = sorted(self.home.glob("jobs/*/progress.jsonl"))
        return {log.parent.name: log.read_text().count('"event": "started"') for log in logs}


@pytest.fixture
def command(empty_world, tmp_path):  # noqa: F811 - the fixture
    empty_world.feedback.add([correction(number, f"u-{number}") for number in range(40)], NOW)
    command = Command(tmp_path / "home")
    command.dataset = empty_world.make_dataset()
    empty_world.engine.dispose()
    command.home.mkdir()
    give_base_model(command.home / "cache")
    shutil.move(tmp_path / "objects", command.home / "objects")
    shutil.copyfile(tmp_path / "store.db", command.home / "gateway-tuning.db")
    return command


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_search_on_the_local_model_is_killed_and_resumed_and_trains_no_trial_twice(command, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(PLAN))
    process = command.start("start", command.dataset, str(plan))
    deadline = time.monotonic() + 150
    while len(command.trials()) < 2:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, command.trials()
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    resumed = command.run("resume", "search-")
    shown = command.run("show", "search-")
    training = json.loads(command.run("show", "search-", "--training"))

    trials = command.trials()
    assert [trial.state.value for trial in trials] == ["complete"] * 3
    assert command.jobs().keys() == {trial.job_key for trial in trials}
    assert command.jobs()[trials[0].job_key] == 1
    assert all(0 < trial.value < 9 for trial in trials)
    assert "The default is" in " ".join(resumed.split())
    assert all(trial.job_key[:12] in shown for trial in trials)
    best = min(trials, key=lambda trial: trial.value)
    assert training["hyperparameters"] == best.hyperparameters

    asked = tmp_path / "asked.yaml"
    objective = {"metric": "similarity", "max_examples": 2, "max_tokens": 8}
    asked.write_text(yaml.safe_dump(PLAN | {"objective": objective, "budget": {"trials": 1}}))
    command.run("start", command.dataset, str(asked))
    (again,) = [trial for trial in command.trials() if trial.search_id != trials[0].search_id]
    assert (again.job_key, again.state.value) == (trials[0].job_key, "complete")
    assert 0 <= again.value <= 1
    assert command.jobs().keys() == {trial.job_key for trial in trials}
