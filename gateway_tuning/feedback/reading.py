"""Rows of any export: JSON, JSONL, CSV, Parquet, or a folder of them.

A bad row comes out as a `BrokenRow`; only a file that cannot be read as a whole is an error. JSON has to be
parsed whole and stands in memory; the other formats are streamed.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gateway_tuning.errors import InputFileError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")
MAX_LINE_BYTES = 64 * 2**20  # of one row; bounds memory on a file without line ends
KEPT_OF_OVERLONG = 10_000  # bytes of a longer line that go to quarantine
MAX_DEPTH = 64  # levels; deeper rows could not be written as JSON again
BINARY_SHARE = 0.2  # of NUL and undecodable characters; Latin-1 prose stays below, compressed data above
PARQUET_ROWS = 64  # read at once: texts can be megabytes


@dataclass(frozen=True, slots=True)
class RawRow:
    """`source` is the file's name without the folder that was given, so that a moved file imports the same."""

    source: str
    position: str
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BrokenRow:
    source: str
    position: str
    text: str
    reason: str


def input_files(path: Path) -> list[tuple[str, Path]]:
    """The name and place of each file below `path`, sorted by name; notes (`.md`) and hidden files are no data.

    Raises:
        InputFileError: nothing is there, or a file of a kind that cannot be read.
    """
    if path.is_file():
        return [(_clean_name(path.name), _known_kind(path))]
    if not path.is_dir():
        raise InputFileError(f"{path} does not exist; give a {', '.join(SUFFIXES)} file or a folder of them")
    found = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    names = sorted(
        (name for name in found if name.suffix != ".md" and not any(p.startswith(".") for p in name.parts)),
        key=lambda name: name.as_posix(),
    )
    if not names:
        raise InputFileError(f"{path} holds no {', '.join(SUFFIXES)} file")
    return [(_clean_name(name.as_posix()), _known_kind(path / name)) for name in names]


def read_rows(path: Path) -> Iterator[RawRow | BrokenRow]:
    """Every row in order of file and position. Blank lines are no rows.

    Raises:
        InputFileError: a file is missing, binary, of unknown kind, or does not parse as a whole.
    """
    for source, file in input_files(path):
        try:
            yield from _READERS[file.suffix.lower()](source, file)
        except OSError as error:
            raise InputFileError(f"{file} cannot be read: {error.strerror or error}") from error


def _known_kind(file: Path) -> Path:
    if file.suffix.lower() not in SUFFIXES:
        raise InputFileError(
            f"{file}: cannot read {file.suffix or 'a file without suffix'}; convert it to {', '.join(SUFFIXES)}"
        )
    return file


def _clean_name(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _read_jsonl(source: str, file: Path) -> Iterator[RawRow | BrokenRow]:
    with file.open("rb") as stream:
        _refuse_binary(file, stream)
        number = 0
        while line := stream.readline(MAX_LINE_BYTES):
            number += 1
            position = f"line {number}"
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                _skip_to_line_end(stream)
                kept = line[:KEPT_OF_OVERLONG].decode("utf-8", "backslashreplace")
                reason = f"Line is too long: over {MAX_LINE_BYTES} bytes, the first {KEPT_OF_OVERLONG} are kept here"
                yield BrokenRow(source, position, kept, reason)
            elif line.strip():
                yield _jsonl_row(source, position, line.rstrip(b"\r\n"))


def _jsonl_row(source: str, position: str, line: bytes) -> RawRow | BrokenRow:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        broken = line.decode("utf-8", "backslashreplace")
        return BrokenRow(source, position, broken, f"Not valid UTF-8: byte {error.start + 1} of the line")
    try:
        value = _parse(text)
    except RecursionError:
        return BrokenRow(source, position, text, f"Nested too deeply: over {MAX_DEPTH} levels")
    except ValueError as error:  # JSONDecodeError, and integers of thousands of digits
        return BrokenRow(source, position, text, f"Not valid JSON: {error}")
    return _row(source, position, value, text)


def _read_json(source: str, file: Path) -> Iterator[RawRow | BrokenRow]:
    with file.open("rb") as stream:
        _refuse_binary(file, stream)
        data = stream.read()
    try:
        document = _parse(data.decode("utf-8"))
    except RecursionError:
        raise InputFileError(
            f"{file} is nested too deeply; as JSONL only the deep row is set aside"
        ) from None
    except ValueError as error:
        hint = "; it looks like JSON lines, rename it to .jsonl" if "Extra data" in str(error) else ""
        raise InputFileError(
            f"{file} is not valid JSON ({error}){hint or '; export it again, or as JSONL'}"
        ) from error
    for number, value in enumerate(_rows_of(document, file), start=1):
        yield _row(source, f"row {number}", value, None)


def _rows_of(document: Any, file: Path) -> list[Any]:
    if isinstance(document, list):
        return document
    lists = (
        {key: value for key, value in document.items() if isinstance(value, list)}
        if _is_dict(document)
        else {}
    )
    if len(lists) != 1:
        found = f"an object with {len(lists)} lists" if _is_dict(document) else f"a {type(document).__name__}"
        raise InputFileError(f"{file} holds {found}; give a list of rows, or an object with one list of rows")
    (rows,) = lists.values()
    return rows


def _read_csv(source: str, file: Path) -> Iterator[RawRow | BrokenRow]:
    csv.field_size_limit(MAX_LINE_BYTES)  # the default of 128 kB refuses long answers
    with file.open("rb") as stream:
        _refuse_binary(file, stream)
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text)
        header = next(reader, None)
        if not header or len(set(header)) < len(header):
            raise InputFileError(f"{file}: its first line must name every column once, found {header}")
        while True:
            position = f"line {reader.line_num + 1}"
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BrokenRow(source, position, "", f"Not valid CSV: {error}")
                continue
            if cells:
                yield _csv_row(source, position, header, cells)


def _csv_row(source: str, position: str, header: list[str], cells: list[str]) -> RawRow | BrokenRow:
    text = ",".join(cells)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return BrokenRow(source, position, shown, "Not valid UTF-8")
    if len(cells) != len(header):
        reason = f"Wrong number of cells: {len(cells)}, the header has {len(header)}"
        return BrokenRow(source, position, text, reason)
    return RawRow(source, position, dict(zip(header, cells, strict=True)))


def _read_parquet(source: str, file: Path) -> Iterator[RawRow | BrokenRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            names = table.schema_arrow.names
            if len(set(names)) < len(names):
                raise InputFileError(f"{file}: its columns must have different names, found {names}")
            rows = _batch_rows(table.iter_batches(PARQUET_ROWS))
            for number, (value, text) in enumerate(rows, start=1):
                if value is None:
                    yield BrokenRow(source, f"row {number}", text, "Not valid UTF-8")
                else:
                    yield RawRow(source, f"row {number}", value)
    except pa.ArrowException as error:
        raise InputFileError(f"{file} is no readable Parquet file ({error}); export it again") from error


def _batch_rows(batches: Iterable[Any]) -> Iterator[tuple[dict[str, Any] | None, str]]:
    for batch in batches:
        try:
            yield from ((value, "") for value in batch.to_pylist())
        except UnicodeDecodeError:  # Parquet does not check its strings
            for index in range(batch.num_rows):
                yield _single_row(batch.slice(index, 1))


def _single_row(batch: Any) -> tuple[dict[str, Any] | None, str]:
    try:
        return batch.to_pylist()[0], ""
    except UnicodeDecodeError:
        shown = [
            cell if isinstance(cell, bytes) else str(cell).encode() for cell in map(_cell, batch.columns)
        ]
        return None, b",".join(shown).decode("utf-8", "backslashreplace")


def _cell(column: Any) -> Any:
    try:
        return column[0].as_py()
    except UnicodeDecodeError:
        return column.cast("binary")[0].as_py()


def _refuse_binary(file: Path, stream: BinaryIO) -> None:
    """Leave `stream` at its first byte after a byte order mark."""
    sample = stream.read(65_536)
    text = sample.decode("utf-8", "replace")
    if text and (text.count("\0") + text.count("\ufffd")) / len(text) > BINARY_SHARE:
        raise InputFileError(f"{file} is not UTF-8 text; decompress it or convert it to UTF-8")
    stream.seek(3 if sample.startswith(b"\xef\xbb\xbf") else 0)


def _skip_to_line_end(stream: BinaryIO) -> None:
    while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        continue


class _RepeatedKey(dict[str, Any]):
    """An object whose text names a key twice: which value was meant is unknown."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else _RepeatedKey(value)


def _parse(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _row(source: str, position: str, value: Any, text: str | None) -> RawRow | BrokenRow:
    defect = nesting_defect(value) if _is_dict(value) else f"Not an object: {type(value).__name__}"
    if defect is None:
        return RawRow(source, position, value)
    return BrokenRow(source, position, _text_of(value) if text is None else text, defect)


def _text_of(value: Any) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        return "(nested too deeply to be written)"


def nesting_defect(value: Any) -> str | None:
    """Why a parsed value cannot be used, None when it can: a key that stands twice, or too many levels."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        if any(isinstance(item, _RepeatedKey) for item in level):
            return "A key stands twice in one object"
        parts = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for children in parts for child in children if isinstance(child, dict | list)]
        if not level:
            return None
    return f"Nested too deeply: over {MAX_DEPTH} levels"


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


_READERS = {
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
