"""The rows of an export, where a JSON file may also be one row itself: an object a file, as bucket loggers write."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway_tuning.errors import InputFileError
from gateway_tuning.feedback.importers.cells import parsed
from gateway_tuning.feedback.reading import MAX_LINE_BYTES, BrokenRow, RawRow, input_files, read_rows


def read_documents(path: Path, is_row: Callable[[dict[str, Any]], bool]) -> Iterator[RawRow | BrokenRow]:
    """As `read_rows`; the object of a JSON file is asked whether it is a row before its list is taken for rows."""
    for source, file in input_files(path):
        value = _only_object(file) if file.suffix.lower() == ".json" else None
        if value is not None and is_row(value):
            yield RawRow(source, "row 1", value)
        else:
            yield from (replace(row, source=source) for row in read_rows(file))


def _only_object(file: Path) -> dict[str, Any] | None:
    try:
        if file.stat().st_size > MAX_LINE_BYTES:
            return None
        value = parsed(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        return None  # `read_rows` says what is wrong with it
    except OSError as error:
        raise InputFileError(f"{file} cannot be read: {error.strerror or error}") from error
    return value if isinstance(value, dict) else None
