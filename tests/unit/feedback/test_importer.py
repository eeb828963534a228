import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_tuning.errors import InputFileError
from gateway_tuning.feedback import importer
from gateway_tuning.feedback.importer import import_file
from gateway_tuning.feedback.mapping import Mapping
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import feedback, quarantine

SAMPLE = Path("examples/feedback.jsonl")
SOUND = {
    "id": "good",
    "type": "thumbs_up",
    "prompt": "Why?",
    "response": "Because.",
    "timestamp": "2026-10-01T08:00:00Z",
}


def line(**changes):
    return json.dumps(SOUND | changes).encode()


def write(path, *lines, end=b"\n"):
    path.write_bytes(b"".join(text + end for text in lines))
    return path


def outcomes(report):
    return report.imported + report.replaced + report.duplicates + report.quarantined


def run(path, store, now, **options):
    return import_file(
        path, None, store, **{"tenant": "default", "now": now, "expectations": False, **options}
    )


def contents(store):
    return {record.id: record for _, record in store.read("default")}


NASTY = [
    (line(), None),
    (b'{"id": "cut off', "Not valid JSON"),
    (b'{"id": "b", prompt: 1}', "Not valid JSON"),
    (line(id="c", comment="@").replace(b"@", b"\xff\xfe"), "Not valid UTF-8"),
    (line(id="d", comment="@").replace(b"@", b"\x00"), "Not valid JSON"),
    (b'{"id": "e", "id": "f"}', "A key stands twice in one object"),
    (b"[" * 50_000, "Nested too deeply"),
    (b"17", "Not an object"),
    (line(id="g", prompt=7), "prompt does not fit"),
    (line(id="h", type="smile"), "Unknown feedback type"),
    (line(id="i", satisfaction_score="high"), "satisfaction_score does not fit"),
    (line(id="j", prompt=""), "Original prompt cannot be empty"),
    (line(id="k", response=" "), "Model response cannot be empty"),
    (line(id="l", type="correction"), "Manual correction feedback requires a corrected response"),
    (line(id="m", satisfaction_score=3), "Satisfaction score must be between -1 and 1"),
    (line(id="n", satisfaction_score=float("nan")), "Satisfaction score is not a number"),
    (line(id="o", satisfaction_score=float("inf")), "Satisfaction score must be between -1 and 1"),
    (line(id="p", response="x" * 5_000_000), "response is too long"),
    (b'{"junk": "' + b"y" * 10_000_000 + b'"}', "type is missing"),
    (line(id="q", prompt="\ud83d half"), "prompt holds half of a surrogate pair"),
    (line(id="\ud83d"), "id holds half of a surrogate pair"),
    (line(id="r", prompt="nul \0"), "prompt holds a NUL character"),
    (line(id="s", metadata={"\0": "v"}), "metadata holds a NUL character"),
    (line(id="t", timestamp="2090-01-01T00:00:00Z"), "Timestamp lies in the future"),
    (line(id="u", timestamp="9999-12-31T23:59:59-14:00"), "Timestamp lies in the future"),
    (line(id="v", timestamp="0001-01-01T00:00:00+14:00"), "Timestamp lies before 2015"),
    (line(id="w", timestamp="2026-10-01T08:00:00"), "Timestamp has no time zone"),
    (line(id="x", timestamp=1e300), "timestamp is no date and time"),
    (line(id="z" * 201), "id does not fit"),
    (line(id="y", tenant="other"), "Belongs to another tenant"),
    (line(id="twice"), None),
    (line(id="twice"), None),
    (line(id="twice", comment="later", timestamp="2026-10-02T08:00:00Z"), None),
    (line(id="ähnlich \U0001f600", prompt="Größe? \U0001f600"), None),
    (b"", "no row"),
    (b"   ", "no row"),
]


def test_every_line_of_a_nasty_file_is_imported_or_quarantined_with_its_reason(engine, tmp_path, now):
    store = FeedbackStore(engine)
    path = tmp_path / "nasty.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(text for text, _ in NASTY))
    expected = [reason for _, reason in NASTY if reason not in (None, "no row")]

    report = run(path, store, now)

    assert report.read == len(NASTY) - 2
    assert report.records + report.broken == report.read == outcomes(report)
    assert (report.imported, report.replaced, report.duplicates) == (3, 1, 1)
    assert report.quarantined_by_reason == {
        reason: expected.count(reason) for reason in sorted(set(expected))
    }
    listed = store.list_quarantine("default")
    assert len(listed) == report.quarantined == report.newly_quarantined
    by_position = {item.entry.position: item.entry.reasons[0].partition(": ")[0] for item in listed}
    assert by_position == {
        f"line {number}": reason
        for number, (_, reason) in enumerate(NASTY, start=1)
        if reason not in (None, "no row")
    }
    assert contents(store).keys() == {"good", "twice", "ähnlich \U0001f600"}
    assert contents(store)["twice"].comment == "later"


def test_what_was_quarantined_can_be_read_again_from_its_raw_text(store, tmp_path, now):
    run(write(tmp_path / "a.jsonl", line(prompt="\ud83d", comment="é"), b'{"cut'), store, now)

    cut, odd = (item.entry.raw for item in store.list_quarantine("default"))
    assert (json.loads(cut), json.loads(odd)) == ('{"cut', SOUND | {"prompt": "\ud83d", "comment": "é"})
    assert (cut + odd).isascii()


def test_every_reason_of_a_row_is_kept(store, tmp_path, now):
    run(write(tmp_path / "a.jsonl", line(type="frown", prompt="", satisfaction_score=-4)), store, now)

    assert [reason.partition(": ")[0] for reason in store.list_quarantine("default")[0].entry.reasons] == [
        "Unknown feedback type",
        "Original prompt cannot be empty",
        "Satisfaction score must be between -1 and 1",
    ]


def test_the_same_file_again_adds_nothing_and_says_so(store, tmp_path, now):
    first = run(SAMPLE, store, now)
    before, watermark = contents(store), store.watermark("default")
    elsewhere = tmp_path / SAMPLE.name
    elsewhere.write_bytes(SAMPLE.read_bytes())

    again = run(elsewhere, store, now)

    assert not first.is_repeat
    assert not first.added_nothing
    assert again.is_repeat
    assert again.added_nothing
    assert again.batch_id == first.batch_id
    assert again.duplicates == first.imported + first.duplicates
    assert again.quarantined == first.quarantined
    assert (contents(store), store.watermark("default")) == (before, watermark)
    assert len(store.batches("default")) == 1


def test_another_mapping_or_tenant_is_another_batch(store, now):
    mapping = Mapping.model_validate({"prompt": "prompt"})

    ids = {
        importer.batch_id(SAMPLE, how, tenant)
        for how, tenant in [(None, "default"), (None, "other"), (mapping, "default")]
    }

    assert len(ids) == 3


def test_the_expectations_are_stored_with_the_batch(store, now):
    report = run(SAMPLE, store, now, expectations=True)

    (batch,) = store.batches("default")
    assert batch.id == report.batch_id
    assert batch.expectations == report.expectations
    assert batch.counts["imported"] == report.imported
    assert report.expectations["success"]


def test_small_chunks_give_the_same_store_and_the_same_report(store, tmp_path, now, monkeypatch):
    other = FeedbackStore(open_database(f"sqlite:///{tmp_path / 'other.db'}"))
    whole = run(SAMPLE, store, now)
    monkeypatch.setattr(importer, "CHUNK_OUTCOMES", 7)

    chunked = run(SAMPLE, other, now)

    assert contents(other) == contents(store)
    assert (chunked.imported, chunked.duplicates) == (whole.imported, whole.duplicates)
    assert chunked.quarantined_by_reason == whole.quarantined_by_reason


def test_a_folder_with_a_bad_file_adds_what_stands_before_it_and_the_rest_when_mended(store, tmp_path, now):
    folder = tmp_path / "export"
    folder.mkdir()
    write(folder / "a.jsonl", line())
    (folder / "b.json").write_text("[")
    with pytest.raises(InputFileError, match=r"b\.json"):
        run(folder, store, now)

    (folder / "b.json").write_text(json.dumps([SOUND | {"id": "b"}]))
    run(folder, store, now)

    assert contents(store).keys() == {"good", "b"}


KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from gateway_tuning.feedback import importer
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database

class Killed(FeedbackStore):
    left = int(sys.argv[3])
    def add(self, records, received_at):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return super().add(records, received_at)

importer.CHUNK_OUTCOMES = 50
store = Killed(open_database(sys.argv[1]))
importer.import_file(Path(sys.argv[2]), None, store, tenant="default", now=datetime.fromisoformat(sys.argv[4]),
                     expectations=False)
"""


@pytest.mark.parametrize("chunks_before", [0, 4])
def test_an_import_that_was_killed_is_finished_by_the_next_one(tmp_path, now, chunks_before):
    url = f"sqlite:///{tmp_path / 'killed.db'}"
    command = [sys.executable, "-c", KILLED, url, str(SAMPLE), str(chunks_before), now.isoformat()]
    killed = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert killed.returncode == -9
    store = FeedbackStore(open_database(url))
    assert len(contents(store)) <= 50 * chunks_before

    report = run(SAMPLE, store, now)

    assert not report.is_repeat
    whole = FeedbackStore(open_database(f"sqlite:///{tmp_path / 'whole.db'}"))
    run(SAMPLE, whole, now)
    assert contents(store) == contents(whole)
    assert store.counts("default") == whole.counts("default")


def parsable_rows():
    rows = []
    for text in SAMPLE.read_text("utf-8").splitlines():
        try:
            row = json.loads(text)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row["prompt"], str) and "\\ud83d" not in text:
            rows.append(row)
    return rows


def as_csv(path, rows):
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for row in rows:
            cells = {
                key: json.dumps(cell) if isinstance(cell, dict | list) else cell for key, cell in row.items()
            }
            writer.writerow(cells)


def as_parquet(path, rows):
    numbers = [
        row | {"satisfaction_score": None} if row.get("satisfaction_score") == "very good" else row
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(numbers, pa.Table.from_pylist(numbers[::-1]).schema), path)


def as_json(path, rows):
    path.write_text(json.dumps({"rows": rows, "exported": "today"}))


@pytest.mark.parametrize("write_as", [as_csv, as_parquet, as_json])
def test_the_sample_imports_the_same_from_every_format(store, tmp_path, now, write_as):
    rows = [row for row in parsable_rows() if row.get("satisfaction_score") != "very good"]
    suffix = write_as.__name__.removeprefix("as_")
    lines = write(tmp_path / "sample.jsonl", *(json.dumps(row).encode() for row in rows))
    other = FeedbackStore(open_database(f"sqlite:///{tmp_path / 'other.db'}"))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    write_as(tmp_path / f"sample.{suffix}", [dict.fromkeys(columns) | row for row in rows])

    expected = run(lines, store, now)
    report = run(tmp_path / f"sample.{suffix}", other, now)

    def told(of):  # an id that is made from the row's content differs between formats
        return {
            id_ if id_.startswith("fb-") else None: record.model_copy(update={"id": ""})
            for id_, record in contents(of).items()
        }

    assert told(other) == told(store)
    assert report.quarantined_by_reason == expected.quarantined_by_reason
    assert (report.imported, report.duplicates) == (expected.imported, expected.duplicates)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
lines = st.one_of(
    json_values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from([*SOUND, "metadata", "request", "satisfaction_score"]), json_values).map(
        lambda changes: json.dumps(SOUND | changes).encode()
    ),
    st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"") + b" and readable text around it"),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(lines, max_size=8))
def test_whatever_stands_on_the_lines_the_counts_add_up(store, tmp_path, now, texts):
    with store.engine.begin() as connection:
        connection.execute(feedback.delete())
        connection.execute(quarantine.delete())
    path = write(tmp_path / "any.jsonl", line(id="first"), *texts)

    report = run(path, store, now)

    assert report.read == outcomes(report) == 1 + sum(bool(text.strip()) for text in texts)
    assert len(contents(store)) == report.imported
    assert store.counts("default").quarantine.get("reading", 0) <= report.broken
