"""Bring a file of feedback into the store: read, map, validate, quarantine. Run by hand for an export."""

from pathlib import Path

from prefect import flow

from gateway_tuning.cycles.cycle import StageResult
from tasks import feedback


@flow(name="import-feedback", flow_run_name="import {path}")
def import_feedback(path: Path, mapping: Path | None = None, tenant: str = "default") -> StageResult:
    """Import a file or folder (JSON, JSONL, CSV, Parquet) of user feedback.

    Args:
        path: file or folder that the worker can read.
        mapping: YAML file that says where an export keeps what; not needed for our own shape.
        tenant: whose feedback it is.
    """
    return feedback.import_feedback(path, mapping, tenant)
