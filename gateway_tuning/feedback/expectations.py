"""Great Expectations over a batch of valid records: is this export, as a whole, what it should be?

Single records are judged by `validation`. A batch that fails is imported all the same; its result is stored
and shown, and it is for the flow to stop.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from gateway_tuning.expectations.expectation import Expectation, verdict
from gateway_tuning.expectations.validation import validate
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType
from gateway_tuning.feedback.validation import CLOCK_SKEW, EARLIEST, MAX_TEXT_LENGTH

MIN_USABLE_SHARE = 0.9  # of all rows; below, the mapping or the export is at fault


class Measures(NamedTuple):
    """What the expectations look at in a record: figures and digests, no texts."""

    id: str
    type: str
    satisfaction_score: float | None
    prompt_length: int
    response_length: int
    prompt_digest: bytes
    user_id: str | None
    timestamp: datetime


def measure(record: FeedbackRecord) -> Measures:
    return Measures(
        id=record.id,
        type=record.type.value,
        satisfaction_score=record.satisfaction_score,
        prompt_length=len(record.prompt),
        response_length=len(record.response),
        prompt_digest=blake2b(record.prompt.encode(), digest_size=8).digest(),
        user_id=record.user_id,
        timestamp=record.timestamp,
    )


def suite(now: datetime, max_text_length: int = MAX_TEXT_LENGTH) -> tuple[Expectation, ...]:
    """Critical ones hold for any sound export; warnings name what makes a worse dataset."""
    between, known, unique = (
        "ExpectColumnValuesToBeBetween",
        "ExpectColumnValuesToNotBeNull",
        "ExpectColumnValuesToBeUnique",
    )
    return (
        Expectation("there are records", "critical", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        Expectation("every record has an id", "critical", known, {"column": "id"}),
        Expectation("few ids come twice", "warning", unique, {"column": "id", "mostly": 0.9}),
        Expectation(
            "types are known",
            "critical",
            "ExpectColumnValuesToBeInSet",
            {"column": "type", "value_set": [kind.value for kind in FeedbackType]},
        ),
        Expectation(
            "scores lie in [-1, 1]",
            "critical",
            between,
            {"column": "satisfaction_score", "min_value": -1, "max_value": 1},
        ),
        Expectation(
            "scores are not all the same",
            "warning",
            "ExpectColumnStdevToBeBetween",
            {"column": "satisfaction_score", "min_value": 0, "strict_min": True},
        ),
        Expectation(
            "prompts have text",
            "critical",
            between,
            {"column": "prompt_length", "min_value": 1, "max_value": max_text_length},
        ),
        Expectation(
            "answers have text",
            "critical",
            between,
            {"column": "response_length", "min_value": 1, "max_value": max_text_length},
        ),
        Expectation(
            "answers are rarely a few characters",
            "warning",
            between,
            {"column": "response_length", "min_value": 10, "mostly": 0.95},
        ),
        Expectation(
            "prompts vary",
            "warning",
            "ExpectColumnProportionOfUniqueValuesToBeBetween",
            {"column": "prompt_digest", "min_value": 0.05},
        ),
        Expectation("most users are known", "warning", known, {"column": "user_id", "mostly": 0.5}),
        Expectation(
            "times are plausible",
            "critical",
            between,
            {"column": "timestamp", "min_value": EARLIEST, "max_value": now + CLOCK_SKEW},
        ),
        Expectation(
            "times differ",
            "warning",
            "ExpectColumnUniqueValueCountToBeBetween",
            {"column": "timestamp", "min_value": 2},
        ),
    )


USABLE = Expectation(
    f"at least {MIN_USABLE_SHARE:.0%} of the rows are usable",
    "critical",
    "ExpectColumnValuesToBeInSet",
    {"column": "usable", "value_set": [True], "mostly": MIN_USABLE_SHARE},
)


def check_batch(
    records: Iterable[FeedbackRecord], quarantined_count: int, *, now: datetime
) -> dict[str, Any]:
    return check_measures([measure(record) for record in records], quarantined_count, now=now)


def check_measures(
    measures: Sequence[Measures],
    quarantined_count: int,
    *,
    now: datetime,
    max_text_length: int = MAX_TEXT_LENGTH,
) -> dict[str, Any]:
    """JSON-able: `success` (no critical one failed), `warnings`, `records`, `quarantined`, `expectations`.

    Each expectation: name, column, success, observed, unexpected_count, severity. `observed` is a statistic of
    the column, or the share of its values that meet the expectation; None on an empty column.

    Raises:
        MissingExtraError: great-expectations is not installed.
    """
    import pandas as pd

    frame = pd.DataFrame(measures, columns=list(Measures._fields))
    frame["satisfaction_score"] = frame["satisfaction_score"].astype(float)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    intake = pd.DataFrame({"usable": [True] * len(measures) + [False] * quarantined_count})
    outcomes = [*validate(frame, suite(now, max_text_length)), *validate(intake, (USABLE,))]
    return {
        **verdict(outcomes),
        "records": len(measures),
        "quarantined": quarantined_count,
        "expectations": outcomes,
    }
