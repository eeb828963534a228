"""Data frames held against expectations by Great Expectations, without a connection, a file or a line of output."""

import math
import os
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from gateway_tuning.errors import missing_extra
from gateway_tuning.expectations.expectation import Expectation, Outcome, column_of

_lock = threading.Lock()  # one context serves the process, and it is not made for several threads


def validate(frame: Any, expectations: Sequence[Expectation]) -> list[Outcome]:
    """Outcomes in the order of the expectations; their names differ.

    Raises:
        MissingExtraError: great-expectations is not installed.
    """
    with _lock:
        context, gx = _context()
        source = context.data_sources.add_pandas(f"frame-{uuid4().hex}")
        try:
            asset = source.add_dataframe_asset("frame")
            batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
            suite = gx.ExpectationSuite(name=source.name)
            for expectation in expectations:
                suite.add_expectation(
                    getattr(gx.expectations, expectation.kind)(
                        **expectation.arguments,
                        severity=expectation.severity,
                        meta={"name": expectation.name},
                    )
                )
            found = batch.validate(suite).to_json_dict()["results"]
        finally:
            context.data_sources.delete(source.name)  # else the frame stays in memory
    by_name = {result["expectation_config"]["meta"]["name"]: result for result in found}
    return [_outcome(expectation, by_name[expectation.name]) for expectation in expectations]


@cache
def _context() -> tuple[Any, Any]:
    """Loading takes seconds, so that it is done once a process and when it is needed."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read at its import: nothing goes out
    try:
        import great_expectations as gx
    except ImportError as error:
        raise missing_extra("great-expectations", "quality") from error
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    config = DataContextConfig(
        analytics_enabled=False,
        progress_bars={"globally": False},
        store_backend_defaults=InMemoryStoreBackendDefaults(
            init_temp_docs_sites=False
        ),  # else a temporary folder stays
    )
    return gx.get_context(mode="ephemeral", project_config=config), gx


def _outcome(expectation: Expectation, found: dict[str, Any]) -> Outcome:
    details = found["result"]
    observed = details.get("observed_value")
    if (percent := details.get("unexpected_percent")) is not None:
        observed = round(1 - percent / 100, 6)
    return {
        "name": expectation.name,
        "column": column_of(expectation),
        "success": bool(found["success"]),
        "observed": found["exception_info"].get("exception_message") or _plain(observed),
        "unexpected_count": details.get("unexpected_count"),
        "severity": expectation.severity,
    }


def _plain(value: Any) -> Any:
    """Numbers as JSON has them: no numpy, and no figure where there is none."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
