"""Checkpoints that survive a crash: safetensors and JSON, written beside their place and renamed.

A checkpoint is `step-000020.safetensors` and, written after it, `step-000020.json` with the checksum of the first.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from gateway_tuning.storage.object_store import file_sha256

KEPT = 2


@dataclass(slots=True)
class Counters:
    """All of a run's state that is no tensor. `step` is the number of steps done.

    `recent_figures` and `best_validation` are what an objective tells besides the loss.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    recent_losses: tuple[float, ...] = ()
    recent_figures: tuple[dict[str, float], ...] = ()
    best_validation_loss: float | None = None
    best_validation: dict[str, float] = field(default_factory=dict)
    looks_without_gain: int = 0


def save(folder: Path, tensors: dict[str, torch.Tensor], counters: Counters) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{counters.step:06d}.safetensors"
    partial = target.with_suffix(".partial")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)
    record = {"sha256": file_sha256(partial), "counters": asdict(counters)}
    partial.replace(target)
    partial.write_text(json.dumps(record))
    partial.replace(target.with_suffix(".json"))
    for old in _newest_first(folder)[KEPT:]:
        old.unlink()
        old.with_suffix(".safetensors").unlink(missing_ok=True)


def load_newest(folder: Path) -> tuple[dict[str, torch.Tensor], Counters] | None:
    """The newest checkpoint whose checksum holds; a damaged one is passed over for the one before it."""
    for record_path in _newest_first(folder):
        record = _record(record_path)
        tensors = record_path.with_suffix(".safetensors")
        if record is None or not tensors.exists() or file_sha256(tensors) != record["sha256"]:
            continue
        counters = Counters(**record["counters"])
        counters.recent_losses = tuple(counters.recent_losses)
        counters.recent_figures = tuple(counters.recent_figures)
        return load_file(tensors), counters
    return None


def _record(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except ValueError:
        return None  # half a file after a power cut; the checkpoint before it counts
    return record


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.json"), reverse=True)
