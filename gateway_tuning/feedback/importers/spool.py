"""The rows of an export while they are joined: on disk, by key, however long their texts are."""

import json
import sqlite3
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.reading import RawRow


class Spool:
    """Feedback in the order it was read, and what it is about by id and group. One row is held at a time.

    It lies in a private temporary database that has no name and is gone with the process, however that ends.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            """
            PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
            CREATE TABLE context (kind, key, grouped_by, version, body, PRIMARY KEY (kind, key)) WITHOUT ROWID;
            CREATE INDEX by_group ON context (kind, grouped_by);
            CREATE TABLE statements (number INTEGER PRIMARY KEY, source, position, body);
            """
        )
        self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def keep(
        self, kind: str, key: str, row: dict[str, Any], *, group: str | None = None, version: str = ""
    ) -> None:
        """Of rows with one key the highest version stays, of equal ones the later: exports repeat what changed."""
        self._write(
            "INSERT INTO context VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET grouped_by = excluded.grouped_by, "
            "version = excluded.version, body = excluded.body WHERE excluded.version >= version",
            (kind, _storable(key), None if group is None else _storable(group), version, _written(row)),
        )

    def add_statement(self, row: RawRow) -> None:
        self._write(
            "INSERT INTO statements (source, position, body) VALUES (?, ?, ?)",
            (row.source, row.position, _written(row.value)),
        )

    def _write(self, statement: str, values: tuple[str | None, ...]) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise ConfigurationError(
                f"The rows of the export cannot be kept on disk while they are joined ({error}); "
                "set SQLITE_TMPDIR to a folder with as much room as the export takes"
            ) from error

    def find(self, kind: str, key: str) -> dict[str, Any] | None:
        query = "SELECT body FROM context WHERE kind = ? AND key = ?"
        found = self._database.execute(query, (kind, _storable(key))).fetchone()
        return None if found is None else dict(json.loads(found[0]))

    def group(self, kind: str, group: str) -> list[dict[str, Any]]:
        """By key. The whole group is held: the observations of a trace, the inferences of an episode."""
        query = "SELECT body FROM context WHERE kind = ? AND grouped_by = ? ORDER BY key"
        return [dict(json.loads(body)) for (body,) in self._database.execute(query, (kind, _storable(group)))]

    def kept(self) -> int:
        """Rows of context."""
        return int(self._database.execute("SELECT count(*) FROM context").fetchone()[0])

    def statements(self) -> Iterator[RawRow]:
        for source, position, body in self._database.execute(
            "SELECT source, position, body FROM statements ORDER BY number"
        ):
            yield RawRow(source, position, dict(json.loads(body)))


def _written(row: dict[str, Any]) -> str:
    return json.dumps(row, default=str)


def _storable(key: str) -> str:
    return key.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair cannot be bound
