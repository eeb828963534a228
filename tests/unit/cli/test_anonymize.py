"""`gateway-tuning anonymize`, with the real model."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("presidio_analyzer", reason="the privacy extra is not installed")

from gateway_tuning.cli import app

ROOT = Path(__file__).parents[3]
RECORDS = [
    {
        "id": "fb-1",
        "prompt": "\U0001f600 I am Maria Gonzalez",
        "response": "Dear Gonzalez, maria@shop.de?",
        "n": 1,
    },
    {"id": "fb-2", "prompt": "No names here", "response": None},
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))

    def invoke(*arguments, lines=RECORDS, given=None):
        path = tmp_path / "in.jsonl"
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        path.write_text(text, encoding="utf-8")
        result = CliRunner().invoke(app, ["anonymize", given or str(path), *map(str, arguments)], input=text)
        result.lines = [json.loads(line) for line in result.stdout.splitlines()]
        return result

    return invoke


def test_named_fields_come_out_masked_with_offsets_into_the_original(run):
    result = run("--field", "prompt", "--field", "response")

    assert result.exit_code == 0
    assert [line["fields"] for line in result.lines] == [
        {"prompt": "\U0001f600 I am <PERSON_1>", "response": "Dear <PERSON_1>, <EMAIL_ADDRESS_1>?"},
        {"prompt": "No names here"},
    ]
    values = [
        (RECORDS[0][one["field"]][one["start"] : one["end"]], one["entity"], one["replacement"])
        for one in result.lines[0]["entities"]
    ]
    assert values == [
        ("Maria Gonzalez", "PERSON", "<PERSON_1>"),
        ("Gonzalez", "PERSON", "<PERSON_1>"),
        ("maria@shop.de", "EMAIL_ADDRESS", "<EMAIL_ADDRESS_1>"),
    ]
    assert result.stderr == "2 records: 0 failed, 0 dropped; found EMAIL_ADDRESS 1, PERSON 2\n"


def test_no_original_value_is_given_unless_asked_for(run):
    without, with_values = run(), run("--with-values")

    assert "Gonzalez" not in without.output
    assert with_values.lines[0]["entities"][0]["value"] == "Maria Gonzalez"


def test_without_named_fields_texts_come_out_and_ids_and_numbers_do_not(run):
    assert [sorted(line["fields"]) for line in run().lines] == [["prompt", "response"], ["prompt"]]


@pytest.mark.parametrize(("option", "keys"), [("--no-text", {"entities"}), ("--no-entities", {"fields"})])
def test_text_or_entities_can_be_left_out(run, option, keys):
    assert {frozenset(line) for line in run(option).lines} == {frozenset(keys)}


def test_lines_that_fail_are_named_by_number_in_their_place_and_quote_nothing(run):
    lines = [
        "{Zelda",
        "",
        '["Zelda is here"]',
        {"prompt": ["Zelda"]},
        {"prompt": "Zelda " * 20_000},
        {"prompt": "fine"},
    ]

    result = run("--field", "prompt", lines=lines)

    assert result.exit_code == 1
    assert result.lines == [
        {"error": "line 1 is not valid JSON"},
        {"error": "line 3 is not a JSON object"},
        {"error": "line 4: field prompt is not a text"},
        {"error": "line 5: prompt has 120000 characters, more than the 100000 that are analysed"},
        {"fields": {"prompt": "fine"}, "entities": []},
    ]
    assert "Zelda" not in result.output


def test_a_line_too_long_to_read_fails_alone(run):
    result = run(lines=['{"a": "' + "x " * 9_000_000 + '"}', {"a": "two words"}])

    assert [*map(list, result.lines)] == [["error"], ["fields", "entities"]]
    assert "line 1 is longer than" in result.lines[0]["error"]


def test_a_policy_with_pseudonyms_drops_and_denies(run, tmp_path):
    policy, key = tmp_path / "policy.json", tmp_path / "key"
    policy.write_text(
        '{"actions": {"PERSON": "pseudonym", "EMAIL_ADDRESS": "drop_record"}, "deny": ["names"]}'
    )
    key.write_text("ab" * 32 + "\n")
    lines = [*RECORDS, {"prompt": "I am Maria Gonzalez"}]

    result = run("--policy", policy, "--pseudonym-key-file", key, lines=lines)

    assert result.exit_code == 0
    assert result.lines[0] == {"dropped": "line 1: has EMAIL_ADDRESS"}
    assert result.lines[1]["fields"] == {"prompt": "No <CUSTOM_1> here"}
    assert re.fullmatch(r"I am [A-Z][a-z]+ [A-Z][a-z]+", result.lines[2]["fields"]["prompt"])
    assert "Gonzalez" not in result.stdout


def test_the_output_file_appears_whole_and_standard_input_is_read(run, tmp_path):
    output = tmp_path / "out.jsonl"

    result = run("--output", output, given="-")

    assert result.stdout == ""
    assert len(output.read_text().splitlines()) == 2
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--policy", "nowhere.json"], "nowhere.json cannot be read"),
        (["--policy", "policy.json"], "policy.json: actions.PERSON"),
        (["--policy", "pseudonym.json"], "--pseudonym-key-file"),
        (["--policy", "unknown.json"], "action for PERSN, which nothing looks for"),
        (["--pseudonym-key-file", "bad.key"], "bad.key holds no key in hex"),
        (["--pseudonym-key-file", "short.key"], "has 1 bytes"),
        (["--output", "no/such/folder/out"], "cannot be written"),
    ],
)
def test_what_cannot_work_is_told_in_one_line_and_leaves_no_file(run, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    Path("policy.json").write_text('{"actions": {"PERSON": "hide"}}')
    Path("pseudonym.json").write_text('{"default_action": "pseudonym"}')
    Path("unknown.json").write_text('{"actions": {"PERSN": "keep"}}')
    Path("bad.key").write_text("no hex")
    Path("short.key").write_text("ab")

    result = run("--output", "out.jsonl", *arguments)

    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("out.jsonl*"))


def test_a_missing_file_is_named(run):
    assert "nowhere.jsonl cannot be read" in run(given="nowhere.jsonl").stderr


@pytest.mark.slow
def test_two_worker_processes_give_the_output_of_one_from_a_pipe(run, tmp_path):
    lines = [{"a": f"I am Maria Gonzalez, order {number}"} for number in range(600)]
    text = "".join(json.dumps(line) + "\n" for line in lines)

    two = subprocess.run(
        [sys.executable, "-m", "gateway_tuning.cli", "anonymize", "-", "--workers", "2"],
        cwd=ROOT, input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert two.stdout == run(lines=lines).stdout
    assert "600 records: 0 failed" in two.stderr
