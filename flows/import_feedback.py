"""Bring a file of feedback into the store: read, map, validate, quarantine. Run by hand for an export."""

from pathlib import Path

from prefect import flow

from gateway_tuning.cycles.cycle import StageResult
from tasks import feedback
from tasks.patience import FLOW_STAGE_S


@flow(name="import-feedback", flow_run_name="import {path}", timeout_seconds=FLOW_STAGE_S)
def import_feedback(
    path: Path,
    mapping: Path | None = None,
    tenant: str = "default",
    source: str | None = None,
    scales: Path | None = None,
) -> StageResult:
    """Import a file or folder (JSON, JSONL, CSV, Parquet) of user feedback.

    Args:
        path: file or folder that the worker can read.
        mapping: YAML file that says where an export keeps what; not needed for our own shape.
        tenant: whose feedback it is.
        source: the tool that wrote the export (langfuse, litellm, openai, tensorzero), instead of a mapping.
        scales: YAML file that says what the tool's scores mean.
    """
    return feedback.import_feedback(path, mapping, tenant, source, scales)
