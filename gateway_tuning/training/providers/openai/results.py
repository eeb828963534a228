"""OpenAI's figures in our names: of checkpoints and events, and the CSV that a finished job leaves. Pure."""

import base64
import binascii
import csv
import io
import math
from collections.abc import Mapping

# Later names go before earlier ones where both are told: a figure of the whole validation file before a batch's.
NAMES = {
    "train_loss": "train_loss",
    "valid_loss": "validation_loss",
    "full_valid_loss": "validation_loss",
    "train_accuracy": "train_token_accuracy",
    "train_mean_token_accuracy": "train_token_accuracy",
    "valid_accuracy": "validation_token_accuracy",
    "valid_mean_token_accuracy": "validation_token_accuracy",
    "full_valid_mean_token_accuracy": "validation_token_accuracy",
    "train_mean_reward": "train_reward",
    "valid_mean_reward": "validation_reward",
    "full_valid_mean_reward": "validation_reward",
}
STEP = "step"


def metrics(told: Mapping[str, object]) -> dict[str, float]:
    """What is told and is a number. A loss that is not finite is kept for early stopping to see."""
    found: dict[str, float] = {}
    for theirs, ours in NAMES.items():
        if (value := _number(told.get(theirs))) is not None:
            found[ours] = value
    return found


def text_of(content: bytes) -> str | None:
    """The CSV of a results file, which some accounts get as base64. None: it is neither."""
    for candidate in (content, _unpacked(content)):
        if candidate is None:
            continue
        try:
            text = candidate.decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        if STEP in [name.strip() for name in text.split("\n", 1)[0].split(",")]:
            return text
    return None


def last_of_each(text: str) -> dict[str, float]:
    """The last value of each column, and `steps`; validation's columns are blank on most rows."""
    last: dict[str, object] = {}
    for row in csv.DictReader(io.StringIO(text), skipinitialspace=True):
        last |= {name.strip(): value for name, value in row.items() if name and value and value.strip()}
    found = {name: value for name, value in metrics(last).items() if math.isfinite(value)}
    steps = _number(last.get(STEP))
    return found if steps is None else {**found, "steps": steps}


def _unpacked(content: bytes) -> bytes | None:
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
