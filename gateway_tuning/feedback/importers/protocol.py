"""What an importer is: it reads another tool's export as rows of our own record."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gateway_tuning.feedback.importers.scales import Scales
from gateway_tuning.feedback.reading import BrokenRow, RawRow


class UnfitError(ValueError):
    """Feedback that gives no record; the message is the reason, `short reason: detail`."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row of the export that gives no record. `raw` is the row as the tool wrote it."""

    source: str
    position: str
    reason: str
    raw: dict[str, Any]
    feedback_id: str | None = None
    user_id: str | None = None


ImportedRow = RawRow | SetAside | BrokenRow


class Importer(Protocol):
    def __call__(self, path: Path, scales: Scales) -> Iterator[ImportedRow]:
        """One item for each statement in the file or folder at `path`.

        A `RawRow` holds the fields of a feedback record. What only gives context (traces, inferences, requests that
        nobody judged) is no row. The same files must give the same rows.

        Raises:
            InputFileError: a file cannot be read, or the export holds no feedback at all.
        """
        ...
