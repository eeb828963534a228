"""`gateway-tuning datasets` as a person types it, on a dataset in a real store."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.datasets.catalog import DatasetCatalog
from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.formats import FORMATS
from gateway_tuning.datasets.manifest import Counts
from gateway_tuning.datasets.published import count_by_split_and_kind, write_dataset
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.conftest import NOW
from tests.unit.datasets.test_formats import SYSTEM, example

RECIPE = DatasetRecipe()


def made():
    kinds = [ExampleKind.DEMONSTRATION] * 12 + [ExampleKind.PREFERENCE] * 3
    train = [
        replace(example((SYSTEM, Turn("user", f"Où est la commande {number} ?")), kind), id=f"{number:024x}")
        for number, kind in enumerate(kinds)
    ]
    return [*train, replace(example(), id=f"{90:024x}", split="validation")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments):
        return CliRunner().invoke(app, ["datasets", *(str(argument) for argument in arguments)])

    return invoke


@pytest.fixture
def dataset(tmp_path):
    settings = Settings(_env_file=None, home=tmp_path)
    objects = ObjectStore(settings.resolved_object_storage_url)
    examples = made()
    counts = Counts(
        records=16, used=16, left_out={}, examples=count_by_split_and_kind(examples), entities={},
        groups=1, shared_groups=0,
    )  # fmt: skip
    manifest = write_dataset(
        examples,
        counts,
        RECIPE,
        objects,
        tenant="default",
        anonymizer="none",
        replaces="ds-before",
        leakage=None,
        rejected=(),
    )
    engine = open_database(settings.resolved_database_url)
    DatasetCatalog(engine, objects).add(
        "key", manifest, (), watermark=16, erasures_before=frozenset(), now=NOW
    )
    engine.dispose()
    return manifest.dataset_id


def test_datasets_alone_lists_them(run, dataset):
    listed = run()

    assert listed.exit_code == 0
    assert listed.output.splitlines()[1].split() == [dataset, "2026-11-01", "12:00", "15", "1", "0"]


def test_a_split_is_exported_and_validates_and_what_was_left_out_is_told(run, dataset, tmp_path):
    file = tmp_path / "train.jsonl"

    exported = run("export", dataset, "--for", "openai-sft", "--output", file)
    checked = run("validate", file, "--for", "openai-sft", "--job-name", "support")

    assert exported.exit_code == checked.exit_code == 0
    assert exported.stdout == ""
    assert "left out 3: preference: openai-sft takes demonstrations" in exported.stderr
    assert "12 of 15 examples written as openai-sft" in exported.stderr
    lines = file.read_bytes().splitlines()
    assert {FORMATS["openai-sft"].read_line(line).messages[1].content for line in lines} == {
        f"Où est la commande {number} ?" for number in range(12)
    }
    assert checked.output == "train.jsonl: nothing found that openai-sft would refuse\n"
    assert sorted(path.name for path in tmp_path.glob("train*")) == ["train.jsonl"]


def test_without_a_file_the_lines_alone_go_to_standard_output(run, dataset):
    exported = run("export", dataset, "--for", "trl-dpo")

    assert exported.exit_code == 0
    assert [json.loads(line)["rejected"][0]["content"] for line in exported.stdout.splitlines()] == [
        "No."
    ] * 3


def test_too_few_examples_for_the_provider_are_written_and_told(run, dataset):
    exported = run("export", dataset, "--for", "bedrock-claude")

    assert exported.exit_code == 0
    assert "bedrock-claude: 12 lines, at least 32 are needed; add examples" in exported.stderr


def test_another_split_is_held_to_the_limits_of_a_validation_file(run, dataset):
    exported = run("export", dataset, "--for", "openai-sft", "--split", "validation")

    assert exported.exit_code == 0
    assert "needed" not in exported.stderr
    assert len(exported.stdout.splitlines()) == 1


def test_a_template_of_the_users_own_is_written_and_checked(run, dataset, tmp_path):
    template, file = tmp_path / "template.json", tmp_path / "out.jsonl"
    template.write_text('{"s": "{{system}}", "in": "{{prompt}}", "out": "{{answer}}"}')

    exported = run("export", dataset, "--for", "custom", "--template", template, "--output", file)
    checked = run("validate", file, "--for", "custom", "--template", template)

    assert exported.exit_code == checked.exit_code == 0
    assert json.loads(file.read_text().splitlines()[0])["out"] == "Here."


def test_problems_are_told_by_line_with_their_remedy_and_end_with_1(run, tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_bytes(
        b'{"messages": [{"role": "user", "content": "[/EOS] \xc3\xa9"}]}\n'
        b'{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "\xff"}]}\n'
    )

    shown = run("validate", file, "--for", "openai-sft", "--job-name", "x" * 70)
    as_json = run("validate", file, "--for", "openai-sft", "--json")

    assert shown.exit_code == as_json.exit_code == 1
    assert "end with the answer to be learned" in shown.output
    assert "shorten it to 64" in shown.output
    problems = json.loads(as_json.stdout)
    assert [problem["line"] for problem in problems] == [1, 2, None]
    assert "not UTF-8" in problems[1]["problem"]
    assert problems[2] == {
        "line": None, "problem": "2 lines, at least 10 are needed", "remedy": "add examples",
    }  # fmt: skip


def test_a_file_name_that_the_provider_would_refuse_is_told(run, dataset, tmp_path):
    file = tmp_path / "train.json"
    run("export", dataset, "--for", "openai-sft", "--output", file)

    checked = run("validate", file, "--for", "openai-sft")

    assert checked.exit_code == 1
    assert "end the name with .jsonl" in checked.output


def test_many_problems_are_cut_in_the_table_and_whole_in_json(run, tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text("{}\n" * 150)

    assert "and 50 more; --json gives all" in run("validate", file, "--for", "openai-sft").output
    assert len(json.loads(run("validate", file, "--for", "openai-sft", "--json").stdout)) == 150


def test_a_reserved_text_in_brackets_is_shown_and_not_taken_for_a_style(run, tmp_path):
    file = tmp_path / "own.jsonl"
    row = {
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [
            {"role": "user", "content": [{"text": "q"}]},
            {"role": "assistant", "content": [{"text": "[EOS]"}]},
        ],
    }
    file.write_text(f"{json.dumps(row)}\n" * 8)

    assert "the reserved text '[EOS]'" in run("validate", file, "--for", "bedrock-nova").output


def test_every_format_is_listed_with_what_it_takes(run):
    listed = run("formats")

    assert listed.exit_code == 0
    rows = {line.split()[0]: line for line in listed.output.splitlines()}
    assert rows.keys() >= {*FORMATS, "custom"}
    assert "labelled answers" in rows["trl-kto"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["export", "ds-0", "--for", "openai-sft"], "ds-0"),
        (["export", "ds-0", "--for", "csv"], "No export format 'csv'"),
        (["export", "ds-0", "--for", "chat", "--split", "dev"], "No split 'dev'; there are: train"),
        (["export", "ds-0", "--for", "custom"], "takes a --template FILE"),
        (["export", "ds-0", "--for", "custom", "--template", "nowhere.json"], "nowhere.json cannot be read"),
        (["validate", "nowhere.jsonl", "--for", "chat"], "nowhere.jsonl cannot be read"),
        (["validate", "nowhere.jsonl", "--for", "chat", "--template", "x"], "no other format does"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_names_the_object(run, arguments, told):
    result = run(*arguments)

    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_an_export_of_nothing_leaves_no_file_and_ends_with_1(run, dataset, tmp_path):
    file = tmp_path / "none.jsonl"

    exported = run("export", dataset, "--for", "trl-kto", "--output", file)

    assert exported.exit_code == 1
    assert f"No example of {dataset} train can be written as trl-kto" in exported.stderr
    assert not file.exists()


def test_a_file_that_cannot_be_written_is_named(run, dataset, tmp_path):
    exported = run("export", dataset, "--for", "chat", "--output", tmp_path / "no" / "train.jsonl")

    assert exported.exit_code == 1
    assert "train.jsonl cannot be written" in exported.stderr


def test_a_damaged_part_is_told_and_leaves_no_half_file(run, dataset, tmp_path):
    for found in tmp_path.rglob("*.parquet"):
        found.write_bytes(found.read_bytes()[:-8])

    exported = run("export", dataset, "--for", "chat", "--output", tmp_path / "train.jsonl")

    assert exported.exit_code == 1
    assert "does not match its recorded sha256" in exported.stderr
    assert not list(tmp_path.glob("train.jsonl*"))
