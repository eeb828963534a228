"""What a local job's worker has written so far, as events of the job."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway_tuning.local_service.store.events import Event

PROGRESS = "progress:"


def new_events(training: Path, known: int, now: float) -> Iterator[Event]:
    """Of the lines of `progress.jsonl` after the first `known`. A line without its end is still being written."""
    path = training / "progress.jsonl"
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(lines[known:], start=known):
        event = _event(f"{PROGRESS}{number}", _parsed(line), now)
        if event is not None:
            yield event


def seen(events: list[Event]) -> int:
    """How many lines have been read already."""
    numbers = [int(event.key.removeprefix(PROGRESS)) for event in events if event.key.startswith(PROGRESS)]
    return max(numbers, default=-1) + 1


def total_steps(events: list[Event]) -> int | None:
    return next((int(event.data["total_steps"]) for event in reversed(events) if event.data), None)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}  # a line that a killed worker cut off, with the next one behind it
    return found


def _event(key: str, line: dict[str, Any], now: float) -> Event | None:
    match line.get("event"):
        case "started":
            message = f"Training on {line['examples']} examples in {line['of']} steps"
            return Event(key=key, created_at=now, message=message)
        case "resumed":
            message = f"Training goes on after step {line['step']} of {line['of']}"
            return Event(key=key, created_at=now, level="warn", message=message)
        case "step":
            return _step(key, line, now)
        case _:
            return None


def _step(key: str, line: dict[str, Any], now: float) -> Event:
    data = {"step": float(line["step"]), "total_steps": float(line["of"]), "train_loss": float(line["loss"])}
    told = f"Step {line['step']}/{line['of']}: training loss={line['loss']:.2f}"
    if "validation_loss" in line:
        data["valid_loss"] = float(line["validation_loss"])
        told += f", validation loss={line['validation_loss']:.2f}"
    return Event(key=key, created_at=now, message=told, data=data)
