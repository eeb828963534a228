"""What every importer of another tool's export keeps to."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from gateway_tuning.errors import ConfigurationError, InputFileError
from gateway_tuning.feedback.importer import batch_id, import_file
from gateway_tuning.feedback.importers import catalog
from gateway_tuning.feedback.importers.protocol import SetAside
from gateway_tuning.feedback.importers.scales import Scales, load_scales
from gateway_tuning.feedback.mapping import apply
from gateway_tuning.feedback.reading import BrokenRow, RawRow
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database

SAMPLES = Path(__file__).parents[1] / "samples"
# Statements in the sample, those of them that give no record, and where the sample keeps what they are on.
SAMPLE = {
    "langfuse": (11, 3, ("traces", "observations", "observations_v2")),
    "litellm": (7, 3, ("s3/batch.jsonl",)),
    "openai": (8, 4, ("messages.jsonl",)),
    "tensorzero": (11, 3, ("ChatInference.jsonl", "JsonInference.jsonl")),
}
ODD_VALUES = [None, "", "odd", "{}", "[1]", 7, -1.5, True, [], ["odd"], [{}], {}, {"odd": [1]}, float("nan")]

every_tool = pytest.mark.parametrize("tool", sorted(SAMPLE))


@pytest.fixture
def store(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    yield FeedbackStore(engine)
    engine.dispose()


@pytest.fixture
def export(tool, tmp_path, now):
    copied = Path(shutil.copytree(SAMPLES / tool / "export", tmp_path / "export"))
    for file in copied.rglob("*.jsonl"):
        os.utime(file, (now.timestamp(), now.timestamp()))
    return copied


def scales_of(tool):
    return load_scales(SAMPLES / tool / "scales.yaml")


def run(export, tool, store, now):
    return import_file(
        export,
        None,
        store,
        tenant="default",
        now=now,
        source=tool,
        scales=scales_of(tool),
        expectations=False,
    )


def outcomes(report):
    return report.imported + report.replaced + report.duplicates + report.erased + report.quarantined


def statements(export, tool, scales=None):
    return list(catalog.importer(tool)(export, scales or scales_of(tool)))


def test_each_importer_that_is_listed_is_tried_here():
    assert set(SAMPLE) == set(catalog.names())


def test_a_name_that_nobody_has_is_refused_with_those_there_are():
    with pytest.raises(
        ConfigurationError, match="No importer 'langsmith'; there are: langfuse, litellm, openai"
    ):
        catalog.importer("langsmith")


@every_tool
def test_every_statement_is_a_record_or_set_aside_with_its_reason(tool, export, store, now):
    expected, aside, _ = SAMPLE[tool]

    report = run(export, tool, store, now)

    assert (report.read, report.records, report.broken) == (expected, expected, 0)
    assert outcomes(report) == expected
    assert (report.imported, report.quarantined) == (expected - aside, aside)
    assert {item.entry.stage for item in store.list_quarantine("default")} == {"validation"}
    assert all(item.entry.feedback_id for item in store.list_quarantine("default"))


@every_tool
def test_the_same_export_again_adds_nothing(tool, export, store, now):
    first = run(export, tool, store, now)

    again = run(export, tool, store, now)

    assert again.added_nothing
    assert again.is_repeat
    assert again.duplicates == first.imported


@every_tool
def test_a_batch_is_told_by_its_importer_and_scales_too(tool, export):
    own = batch_id(export, None, "default", source=tool, scales=scales_of(tool))
    plain = batch_id(export, None, "default")
    unscaled = batch_id(export, None, "default", source=tool)

    assert len({own, plain, unscaled}) == 3


@every_tool
def test_what_it_is_on_is_not_in_the_export_is_said_of_each(tool, export, store, now):
    for name in SAMPLE[tool][2]:
        place = export / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()

    report = run(export, tool, store, now)

    gone = {r: n for r, n in report.quarantined_by_reason.items() if r.endswith("not in the export")}
    assert gone
    assert outcomes(report) == report.records + report.broken


@every_tool
def test_a_file_cut_off_anywhere_is_refused_or_its_rows_are_set_aside(tool, export, store, now):
    for file in sorted(path for path in export.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        for part in (0.3, 0.7, 0.98):
            file.write_bytes(whole[: int(len(whole) * part)])
            with suppress(InputFileError):
                report = run(export, tool, store, now)
                assert outcomes(report) == report.records + report.broken
        file.write_bytes(whole)


@every_tool
def test_an_export_without_feedback_is_refused_with_what_is_missing(tool, tmp_path):
    context = tmp_path / "context.jsonl"
    rows = {
        "langfuse": {"id": "t", "input": "Hello?", "output": "Hello."},
        "litellm": {"id": "r", "model": "m", "messages": [], "response": {}},
        "openai": {"object": "chat.completion", "id": "c", "choices": [], "metadata": {}},
        "tensorzero": dict.fromkeys(
            ("id", "function_name", "variant_name", "episode_id", "input", "output"), "x"
        ),
    }
    context.write_text(json.dumps(rows[tool]))

    with pytest.raises(InputFileError, match=r"no score|no feedback|without feedback"):
        statements(context, tool)


@every_tool
def test_a_row_of_something_else_is_set_aside_with_its_columns(tool, export):
    (export / "more.jsonl").write_text('{"colour": "red", "weight": 3}\n')

    odd = [row for row in statements(export, tool) if row.source == "more.jsonl"]

    assert [type(row) for row in odd] == [SetAside]
    assert "colour, weight" in odd[0].reason


@every_tool
def test_scores_without_a_scale_are_set_aside_and_never_guessed(tool, export):
    records = [row for row in statements(export, tool, Scales()) if isinstance(row, RawRow)]

    kept = {
        row.value["satisfaction_score"] for row in records if row.value.get("satisfaction_score") is not None
    }
    assert kept <= {
        -1.0,
        1.0,
        -0.5,
    }  # thumbs, booleans, and the stars that a score config of the export explains


@every_tool
def test_whatever_stands_in_a_column_is_told_and_never_crashes(tool, export):
    files = {path: rows_of(path) for path in sorted(export.rglob("*")) if path.is_file()}
    names = sorted({name for rows in files.values() for row in rows for name in names_in(row)})

    for name in names:
        for odd in ODD_VALUES:
            for path, rows in files.items():
                changed = [put(row, name, odd) for row in rows]
                path.write_text(
                    "\n".join(map(json.dumps, changed)) if path.suffix == ".jsonl" else json.dumps(changed)
                )
            try:
                found = statements(export, tool)
            except InputFileError:
                continue
            for row in found:
                assert isinstance(row, SetAside | BrokenRow) or apply(None, row.value), name


def rows_of(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    document = json.loads(path.read_text())
    return document.get("data", [document])


def names_in(value):
    if isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from names_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from names_in(item)


def put(value, name, odd):
    if isinstance(value, dict):
        return {key: odd if key == name else put(item, name, odd) for key, item in value.items()}
    return [put(item, name, odd) for item in value] if isinstance(value, list) else value
