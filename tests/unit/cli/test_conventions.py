"""What all commands have in common: lists, JSON, errors, exit codes."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest
import typer
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.cli.console import Shown, short, show_table
from gateway_tuning.cli.failures import close
from gateway_tuning.cycles.plan import CyclePlan
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.storage.database import open_database


def commands(command=None, path=()):
    """Every command that can be given, with the words that lead to it; hidden ones are of earlier versions."""
    command = command or typer.main.get_command(app)
    if getattr(command, "invoke_without_command", True) and path:
        yield path, command
    for name, found in getattr(command, "commands", {}).items():
        if not found.hidden:
            yield from commands(found, (*path, name))


COMMANDS = dict(commands())
LISTS = [path for path in COMMANDS if path[-1] == "list"]
SHOWS = [path for path in COMMANDS if path[-1] == "show"]
GROUPS_WITHOUT_A_LIST = {("demo",), ("store",)}


def options(path):
    return {name for parameter in COMMANDS[path].params for name in parameter.opts}


@pytest.fixture
def run(tmp_path, migrated_sqlite, monkeypatch):
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "240")
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_every_group_of_resources_has_a_list():
    groups = {
        path[:-1]
        for path in COMMANDS
        if path[-1] in {"show", "create", "set", "start", "erase", "add", "report"}
    }

    without = {group for group in groups if group and (*group, "list") not in COMMANDS}

    assert without <= GROUPS_WITHOUT_A_LIST


@pytest.mark.parametrize("path", LISTS + SHOWS, ids=" ".join)
def test_what_lists_or_shows_does_so_as_json_too(path):
    assert "--json" in options(path)


@pytest.mark.parametrize("path", LISTS, ids=" ".join)
def test_a_list_of_an_empty_store_is_an_empty_table_and_an_empty_array(run, path):
    table, listed = run(*path), run(*path, "--json")

    assert (table.exit_code, listed.exit_code) == (0, 0), listed.output
    found = json.loads(listed.stdout)
    assert isinstance(found, list)
    assert found == [] or path in {("providers", "list"), ("budgets", "list")}


@pytest.mark.parametrize(
    ("path", "unknown"),
    [
        (("cycles", "show"), "c9"),
        (("datasets", "show"), "ds-9"),
        (("jobs", "show"), "j9"),
        (("jobs", "wait"), "j9"),
        (("evaluations", "show"), "eval-9"),
        (("drift", "show"), "drift-9"),
        (("runs", "show"), "run-9"),
        (("approvals", "show"), "approval-9"),
        (("models", "show"), "m@9"),
        (("search", "show"), "s9"),
        (("feedback", "show"), "f9"),
        (("feedback", "quarantine", "show"), "a9"),
    ],
    ids=str,
)
def test_what_is_not_there_is_named_on_standard_error_and_ends_with_1(run, path, unknown):
    result = run(*path, unknown)

    assert (result.exit_code, result.stdout) == (1, "")
    assert unknown in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def cycle(tmp_path, run):
    """A cycle in the store that `run` finds."""
    engine = open_database(f"sqlite:///{tmp_path / 'gateway-tuning.db'}")
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    opened = CycleStore(engine).open(
        tenant="default",
        model="assistant",
        plan=CyclePlan().model_dump(mode="json"),
        watermark=1,
        incumbent="base",
        started_by="cli:tests",
        now=now,
    )
    engine.dispose()
    return opened


def test_an_id_with_a_slip_is_answered_with_what_was_meant(run, cycle):
    slip = cycle.id[:-1] + ("0" if cycle.id[-1] != "0" else "1")

    assert f"Did you mean {cycle.id}?" in run("cycles", "show", slip).stderr
    assert f"Did you mean {cycle.id}?" in run("cycles", "show", cycle.id[:6]).stderr
    assert "Did you mean" not in run("cycles", "show", "nothing-like-it").stderr


def test_what_is_shown_as_json_is_one_object_with_all_of_it(run, cycle):
    shown = json.loads(run("cycles", "show", cycle.id, "--json").stdout)
    (listed,) = json.loads(run("cycles", "list", "--json").stdout)

    assert shown["cycle"]["id"] == listed["cycle"] == cycle.id
    assert listed["outcome"] is None


def test_a_shell_completes_ids_from_the_store_and_none_where_there_is_no_store(cycle, tmp_path):
    script = "from gateway_tuning.cli.completing import ids; print(ids('cycle_id')('" + cycle.id[:3] + "'))"
    environment = {**os.environ, "GATEWAY_TUNING_HOME": str(tmp_path)}

    def completed():
        return subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert completed() == f"['{cycle.id}']\n"
    environment["GATEWAY_TUNING_HOME"] = str(tmp_path / "empty")
    assert completed() == "[]\n"


def test_ids_that_begin_alike_go_before_those_that_are_written_alike():
    assert close("ds-1", ["ds-12", "ds-2", "ds-13", "xs-1", "model"]) == ["ds-12", "ds-13", "xs-1"]
    assert close("ds-1", ["ds-1"]) == []


def test_a_cell_is_short_in_a_table_and_whole_in_json_and_brackets_are_no_markup(capsys, monkeypatch):
    rows = [[short("0123456789abcdef"), Shown(0.25, "25 %"), "[red]as it is[/]", None]]
    monkeypatch.setenv("COLUMNS", "120")

    show_table(["job", "share of", "text", "end"], rows)
    show_table(["job", "share of", "text", "end"], rows, as_json=True)

    *_, cells, whole = capsys.readouterr().out.strip().splitlines()
    assert cells.split() == ["0123456789ab", "25", "%", "[red]as", "it", "is[/]", "-"]
    assert json.loads(whole) == [
        {"job": "0123456789abcdef", "share_of": 0.25, "text": "[red]as it is[/]", "end": None}
    ]


def test_a_line_of_a_table_stays_a_line_where_it_is_piped(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    script = "from gateway_tuning.cli.console import show_table; show_table(['a', 'b'], [['x' * 300, 'y']])"

    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout

    assert printed.splitlines()[1].split() == ["x" * 300, "y"]


def test_a_store_that_does_not_answer_is_told_in_a_line_that_names_the_doctor(run, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_DATABASE_URL", "postgresql+psycopg://me:hunter2@127.0.0.1:9/none")

    result = run("cycles", "list")

    assert result.exit_code == 1
    assert "gateway-tuning doctor" in result.stderr
    assert "hunter2" not in result.output
