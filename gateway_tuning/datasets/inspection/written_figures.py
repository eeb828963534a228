"""What the expectations look at in a dataset whose manifest is not written yet: figures of its parts and exports."""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gateway_tuning.datasets import formats
from gateway_tuning.datasets.building.evidence import Written
from gateway_tuning.datasets.inspection.stage_figures import WHOLE, Frames, frame, row
from gateway_tuning.datasets.manifest import Part
from gateway_tuning.datasets.quality.shingles import Hashes
from gateway_tuning.datasets.splits import SPLITS
from gateway_tuning.storage.object_store import ObjectStore

_COLUMNS = ["id", "split", "feedback_ids", "last_feedback_at"]
_CHUNK = 1_000_000  # ids compared at a time


def of_written(evidence: Written, objects: ObjectStore) -> Frames:
    """Of the dataset, its splits, parts and exports; all exact. A part is held at a time, and no column of texts.

    Raises:
        IntegrityError: a part is not what was written.
    """
    manifest = evidence.manifest
    counts = {split: manifest.counts.examples.get(split, {}) for split in SPLITS}
    parts: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        total = sum(part.rows for part in manifest.parts)
        ids = np.lib.format.open_memmap(
            Path(folder) / "ids.npy", mode="w+", dtype=np.uint64, shape=(max(1, total),)
        )
        start = 0
        for part in manifest.parts:
            figures, own = _part(part, objects)
            parts.append(figures)
            own = own[: total - start]  # fewer rows than stated are told by `rows`, more by it as well
            ids[start : start + len(own)] = own
            start += len(own)
        repeated = _repeated(ids[:start])
        del ids
    rows = {split: sum(one["rows"] for one in parts if one["split"] == split) for split in SPLITS}
    return {
        WHOLE: row({"examples": sum(rows.values()), "repeated_ids": repeated}),
        "splits": frame(
            {
                "split": list(SPLITS),
                "rows": [rows[split] for split in SPLITS],
                "counted": [sum(counts[split].values()) for split in SPLITS],
            }
        ),
        "parts": frame(
            {
                name: [one[name] for one in parts]
                for name in ("rows", "stated", "elsewhere", "without_source", "first_at", "last_at")
            }
        ),
        "exports": frame(
            {
                "rows": [export.rows for export in manifest.exports],
                "missing_share": [
                    _missing(export.rows, counts[export.split].get(formats.find(export.format).kind.value, 0))
                    for export in manifest.exports
                ],
            }
        ),
    }


def _part(part: Part, objects: ObjectStore) -> tuple[dict[str, Any], Hashes]:
    """Figures of a part, and the first 64 bits of its ids."""
    table = pq.read_table(io.BytesIO(objects.read(part.key, sha256=part.sha256)), columns=_COLUMNS)
    times = pc.min_max(table["last_feedback_at"])
    sources = pc.fill_null(pc.list_value_length(table["feedback_ids"]), 0)
    figures = {
        "split": part.split,
        "rows": table.num_rows,
        "stated": part.rows,
        "elsewhere": table.num_rows - int(pc.sum(pc.equal(table["split"], part.split)).as_py() or 0),
        "without_source": int(pc.sum(pc.equal(sources, 0)).as_py() or 0),
        "first_at": times["min"].as_py(),
        "last_at": times["max"].as_py(),
    }
    return figures, np.array([int(id_[:16], 16) for id_ in table["id"].to_pylist()], np.uint64)


def _repeated(ids: Any) -> int:
    """Sorted where they lie, on disk."""
    ids.sort()
    found = 0
    for start in range(0, len(ids), _CHUNK):
        chunk = np.asarray(ids[start : start + _CHUNK + 1])
        found += int((chunk[1:] == chunk[:-1]).sum())
    return found


def _missing(rows: int, wanted: int) -> float | None:
    """Share of the wanted examples that the export lacks; below 0 where it has too many."""
    if not wanted:
        return -1.0 if rows else None
    return 1 - rows / wanted
