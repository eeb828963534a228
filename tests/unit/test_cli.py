import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


def test_imported_feedback_is_counted_and_what_is_wrong_is_listed_with_its_reasons(run, tmp_path):
    export = tmp_path / "export.jsonl"
    good = '{"id": "a", "type": "thumbs_up", "prompt": "p", "response": "r", "timestamp": "2026-01-01T00:00:00Z"}'
    bad = good.replace('"p"', '" "').replace('"a"', '"b"')
    export.write_text(f"{good}\n{bad}\nnot json\n")

    imported, again = run("feedback", "import", export), run("feedback", "import", export)
    listed = run("feedback", "quarantine")

    assert imported.exit_code == again.exit_code == listed.exit_code == 0
    assert re.search(r"imported +1\b", imported.output)
    assert re.search(r"known already +1\b", again.output)
    assert "Original prompt cannot be empty" in listed.output
    assert "export.jsonl" in listed.output


@pytest.mark.parametrize(
    "command", [["datasets"], ["jobs", "list"], ["models"], ["cycles", "list"], ["canary", "status"]]
)
def test_an_empty_store_lists_nothing_and_is_no_error(run, command):
    assert run(*command).exit_code == 0


def test_the_known_providers_are_listed(run):
    assert "llama" in run("providers").output


def test_the_threshold_of_a_model_is_set_and_shown(run):
    changed, shown = run("models", "threshold", "helper", "--count", 40), run("models", "threshold", "helper")

    assert changed.output == shown.output == "helper: 40 new records within 24 hours (its own)\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["feedback", "import", "nowhere.jsonl"], "nowhere.jsonl"),
        (["cycles", "show", "c9"], "No cycle c9"),
        (["cycles", "abandon", "c9"], "No cycle c9"),
        (["jobs", "cancel", "j9"], "No job begins with j9"),
        (["models", "threshold", "m9"], "No model m9"),
        (["serve-models", "assistant"], "GATEWAY_TUNING_LOCAL_SERVER_KEY"),
        (["serve-local", "--host", "0.0.0.0"], "GATEWAY_TUNING_LOCAL_SERVICE_KEY"),  # noqa: S104 - refused
    ],
)
def test_our_errors_are_one_line_that_names_the_object_and_end_with_1(run, arguments, told):
    result = run(*arguments)

    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_a_flow_command_outside_of_the_project_says_where_to_run_it(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "gateway_tuning.cli", "demo"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert result.returncode == 1
    assert "Run this in the project's folder" in result.stderr
