"""The result file of a job: OpenAI's columns, one row a step. Pure."""

import base64
import csv
import io
from collections.abc import Iterable

from gateway_tuning.local_service.store.events import Event

COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")


def result_csv(events: Iterable[Event]) -> str:
    """What was not measured is left blank. Of a step that was done again after an interruption the last counts."""
    steps = {event.data["step"]: event.data for event in events if "step" in event.data}
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(COLUMNS)
    for step, data in sorted(steps.items()):
        rows.writerow([int(step), *(data.get(name, "") for name in COLUMNS[1:])])
    return written.getvalue()


def encoded(text: str) -> bytes:
    """As OpenAI serves the content of a result file: base64."""
    return base64.b64encode(text.encode())
