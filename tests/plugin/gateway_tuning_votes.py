"""An importer from outside: rows of `vote`, `up` or `down`, on a prompt and its response."""

from collections.abc import Iterator
from pathlib import Path

from gateway_tuning.feedback.importers.protocol import ImportedRow, SetAside
from gateway_tuning.feedback.importers.scales import Scales
from gateway_tuning.feedback.reading import RawRow, read_rows


def rows(path: Path, scales: Scales) -> Iterator[ImportedRow]:
    del scales
    for row in read_rows(path):
        if not isinstance(row, RawRow):
            yield row
            continue
        vote = row.value.pop("vote", None)
        if vote in {"up", "down"}:
            yield RawRow(row.source, row.position, {**row.value, "type": f"thumbs_{vote}"})
        else:
            yield SetAside(
                row.source, row.position, "Vote is neither up nor down", {"vote": vote, **row.value}
            )
