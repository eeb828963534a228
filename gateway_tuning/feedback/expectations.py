"""Great Expectations over a batch of valid records: is this export, as a whole, what it should be?

Single records are judged by `validation`. A batch that fails is imported all the same; its result is stored
and shown, and it is for the flow to stop.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from gateway_tuning.errors import missing_extra
from gateway_tuning.feedback.record import FeedbackRecord, FeedbackType
from gateway_tuning.feedback.validation import CLOCK_SKEW, EARLIEST, MAX_TEXT_LENGTH

MIN_USABLE_SHARE = 0.9  # of all rows; below, the mapping or the export is at fault
Severity = Literal["critical", "warning"]


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


class Expectation(NamedTuple):
    """An expectation of Great Expectations by its class name, in words of ours."""

    name: str
    severity: Severity
    kind: str
    arguments: dict[str, Any]


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
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read at its import: nothing goes out
    try:
        import great_expectations as gx
    except ImportError as error:
        raise missing_extra("great-expectations", "quality") from error
    import pandas as pd

    frame = pd.DataFrame(measures, columns=list(Measures._fields))
    frame["satisfaction_score"] = frame["satisfaction_score"].astype(float)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    intake = pd.DataFrame({"usable": [True] * len(measures) + [False] * quarantined_count})
    context = gx.get_context(mode="ephemeral", project_config=_quiet_config())
    results = [
        *_validate(context, frame, suite(now, max_text_length)),
        *_validate(context, intake, (USABLE,)),
    ]
    failed = [result["severity"] for result in results if not result["success"]]
    return {
        "success": "critical" not in failed,
        "warnings": failed.count("warning"),
        "records": len(measures),
        "quarantined": quarantined_count,
        "expectations": results,
    }


def _quiet_config() -> Any:
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    return DataContextConfig(
        analytics_enabled=False,
        progress_bars={"globally": False},
        store_backend_defaults=InMemoryStoreBackendDefaults(
            init_temp_docs_sites=False
        ),  # else a temporary folder stays
    )


def _validate(context: Any, frame: Any, expectations: Sequence[Expectation]) -> list[dict[str, Any]]:
    import great_expectations as gx

    source = context.data_sources.add_or_update_pandas("feedback")
    asset = source.add_dataframe_asset(f"batch-{'-'.join(frame.columns)}")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    suite_ = gx.ExpectationSuite(name=asset.name)
    for expectation in expectations:
        kind = getattr(gx.expectations, expectation.kind)
        suite_.add_expectation(
            kind(
                **expectation.arguments,
                severity=expectation.severity,
                meta={"name": expectation.name},
            )
        )
    found = batch.validate(suite_).to_json_dict()["results"]
    by_name = {result["expectation_config"]["meta"]["name"]: result for result in found}
    return [_result(expectation, by_name[expectation.name]) for expectation in expectations]


def _result(expectation: Expectation, found: dict[str, Any]) -> dict[str, Any]:
    details = found["result"]
    observed = details.get("observed_value")
    if (percent := details.get("unexpected_percent")) is not None:
        observed = round(1 - percent / 100, 6)
    return {
        "name": expectation.name,
        "column": expectation.arguments.get("column"),
        "success": bool(found["success"]),
        "observed": found["exception_info"].get("exception_message") or observed,
        "unexpected_count": details.get("unexpected_count"),
        "severity": expectation.severity,
    }
