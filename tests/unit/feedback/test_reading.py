import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_tuning.errors import InputFileError
from gateway_tuning.feedback import reading
from gateway_tuning.feedback.reading import BrokenRow, RawRow, read_rows


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def rows(path):
    return list(read_rows(path))


def only(path):
    (row,) = rows(path)
    return row


@pytest.fixture
def jsonl(tmp_path):
    return lambda data: write(tmp_path / "export.jsonl", data)


def test_each_line_of_a_jsonl_file_is_a_row_and_blank_lines_are_none(jsonl):
    found = rows(jsonl('\ufeff{"a": 1}\r\n\r\n   \n{"a": 2}'))

    assert found == [RawRow("export.jsonl", "line 1", {"a": 1}), RawRow("export.jsonl", "line 4", {"a": 2})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": ', "Not valid JSON: "),
        (b'{"a": "\x00"}', "Not valid JSON: "),
        (b'{"a": ' + b"9" * 5000 + b"}", "Not valid JSON: "),
        (b'{"a": "caf\xe9 and more text"}', "Not valid UTF-8: byte 11 of the line"),
        (b'{"a": 1, "a": 2}', "A key stands twice in one object"),
        (b'{"b": {"a": 1, "a": 2}}', "A key stands twice in one object"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "Nested too deeply: "),
        (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "Nested too deeply: "),
        (b"[1, 2]", "Not an object: list"),
        (b"null", "Not an object: NoneType"),
    ],
)
def test_a_line_that_is_no_row_is_broken_and_the_next_one_is_read(jsonl, line, reason):
    broken, sound = rows(jsonl(line + b'\n{"b": 1}\n'))

    assert isinstance(broken, BrokenRow)
    assert broken.reason.startswith(reason)
    assert sound == RawRow("export.jsonl", "line 2", {"b": 1})


def test_nan_infinity_lone_surrogates_and_huge_texts_are_rows(jsonl):
    text = "x" * 5_000_000

    found = rows(jsonl('{"a": NaN}\n{"a": -Infinity}\n{"a": "\\ud83d"}\n' + json.dumps({"a": text})))

    assert found[0].value["a"] != found[0].value["a"]
    assert [row.value["a"] for row in found[1:]] == [float("-inf"), "\ud83d", text]


def test_a_line_beyond_the_limit_is_broken_without_being_held(jsonl, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 100)

    found = rows(jsonl(b'{"a": 1}\n{"a": "' + b"x" * 950 + b'"}\n{"a": 2}'))

    assert [row.position for row in found] == ["line 1", "line 2", "line 3"]
    assert found[1].reason.startswith("Line is too long: over 100 bytes")


@pytest.mark.parametrize("document", ['[{"a": 1}, 7]', '{"rows": [{"a": 1}, 7], "count": 2}'])
def test_a_json_file_is_a_list_or_an_object_with_one_list(tmp_path, document):
    sound, broken = rows(write(tmp_path / "export.json", document))

    assert sound == RawRow("export.json", "row 1", {"a": 1})
    assert (broken.position, broken.text, broken.reason) == ("row 2", "7", "Not an object: int")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("", "not valid JSON"),
        ('[{"a": 1},', "not valid JSON"),
        ('{"a": 1}\n{"a": 2}', "rename it to .jsonl"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1}', "an object with 0 lists"),
        ('{"a": [], "b": []}', "an object with 2 lists"),
        ('"text"', "holds a str"),
    ],
)
def test_a_json_file_that_holds_no_rows_is_an_error_with_a_remedy(tmp_path, document, says):
    with pytest.raises(InputFileError, match=says):
        rows(write(tmp_path / "export.json", document))


@pytest.mark.parametrize("data", ['{"a": 1}'.encode("utf-16"), b"\x1f\x8b" + bytes(range(128, 256)) * 4])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_a_file_that_is_no_utf_8_text_is_an_error(tmp_path, data, suffix):
    with pytest.raises(InputFileError, match="not UTF-8 text"):
        rows(write(tmp_path / f"export{suffix}", data))


def test_missing_files_unknown_kinds_and_empty_folders_are_errors(tmp_path):
    with pytest.raises(InputFileError, match="does not exist"):
        rows(tmp_path / "nothing.jsonl")
    with pytest.raises(InputFileError, match="holds no"):
        rows(tmp_path)
    with pytest.raises(InputFileError, match=r"cannot read \.xlsx"):
        rows(write(tmp_path / "export.xlsx", "x"))
    with pytest.raises(InputFileError, match=r"cannot read \.xlsx"):
        rows(tmp_path)


def test_a_folder_is_read_in_order_of_names_and_its_notes_are_not(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.jsonl", "a.JSON", "deep/c.csv"):
        write(tmp_path / name, {"b.jsonl": '{"x": "2"}', "a.JSON": '[{"x": "1"}]'}.get(name, "x\n3\n"))
    write(tmp_path / "README.md", "notes")
    write(tmp_path / ".hidden", "notes")

    assert [(row.source, row.value["x"]) for row in rows(tmp_path)] == [
        ("a.JSON", "1"),
        ("b.jsonl", "2"),
        ("deep/c.csv", "3"),
    ]


def test_a_csv_row_may_span_lines_and_hold_megabytes(tmp_path):
    text = "y" * 1_000_000
    path = write(tmp_path / "export.csv", f'\ufeffa,b\r\n"line 1\nline 2","say ""hi"""\r\n\r\n{text},\r\n')

    assert rows(path) == [
        RawRow("export.csv", "line 2", {"a": "line 1\nline 2", "b": 'say "hi"'}),
        RawRow("export.csv", "line 5", {"a": text, "b": ""}),
    ]


def test_csv_rows_of_the_wrong_length_or_encoding_are_broken(tmp_path):
    found = rows(write(tmp_path / "export.csv", b"a,b\n1,2\n1,2,3\ncaf\xe9,1\n4,5\n"))

    assert [type(row) for row in found] == [RawRow, BrokenRow, BrokenRow, RawRow]
    assert found[1].reason == "Wrong number of cells: 3, the header has 2"
    assert (found[2].reason, found[2].text) == ("Not valid UTF-8", "caf\\xe9,1")


@pytest.mark.parametrize("header", ["", "a,a\n1,2\n"])
def test_a_csv_file_needs_a_header_that_names_every_column_once(tmp_path, header):
    with pytest.raises(InputFileError, match="must name every column once"):
        rows(write(tmp_path / "export.csv", header))


def test_parquet_rows_keep_their_types(tmp_path):
    values = [{"a": 1, "b": {"c": ["x"]}, "d": None}, {"a": 2, "b": None, "d": 0.5}]
    pq.write_table(pa.Table.from_pylist(values), tmp_path / "export.parquet")

    assert [row.value for row in rows(tmp_path / "export.parquet")] == values
    assert [row.position for row in rows(tmp_path)] == ["row 1", "row 2"]


def test_a_parquet_string_that_is_no_utf_8_breaks_its_row_alone(tmp_path):
    texts = pa.array([b"one", b"caf\xe9", b"three"]).view(pa.string())
    pq.write_table(pa.table({"a": texts, "b": [1, 2, 3]}), tmp_path / "export.parquet")

    found = rows(tmp_path / "export.parquet")

    assert [type(row) for row in found] == [RawRow, BrokenRow, RawRow]
    assert (found[1].position, found[1].text) == ("row 2", "caf\\xe9,2")


def test_a_damaged_parquet_file_is_an_error(tmp_path):
    with pytest.raises(InputFileError, match="no readable Parquet file"):
        rows(write(tmp_path / "export.parquet", b"PAR1 nothing PAR1"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(values=st.lists(json_values, max_size=5))
def test_every_json_value_of_a_line_is_a_row_or_broken(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("rows") / "any.jsonl"
    write(path, "\n".join(json.dumps(value) for value in values))

    found = rows(path)

    assert len(found) == len(values)
    assert [isinstance(row, RawRow) for row in found] == [isinstance(value, dict) for value in values]


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=200), suffix=st.sampled_from(reading.SUFFIXES))
def test_no_bytes_raise_anything_but_an_input_file_error(tmp_path_factory, data, suffix):
    path = write(tmp_path_factory.mktemp("bytes") / f"any{suffix}", data)

    try:
        found = rows(path)
    except InputFileError:
        return
    assert all(isinstance(row, RawRow | BrokenRow) for row in found)


def test_a_file_reads_the_same_wherever_it_lies(tmp_path):
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
        write(place / "export.jsonl", '{"a": 1}\nbroken')

    assert rows(places[0] / "export.jsonl") == rows(places[1] / "export.jsonl") == rows(places[1])
