"""Bring feedback in."""

import logging
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.feedback.importer import NO_SCALES, ImportReport, import_file
from gateway_tuning.feedback.importers.scales import load_scales
from gateway_tuning.feedback.mapping import load_mapping
from tasks.patience import BRIEF, STAGE
from tasks.runtime import now, runtime
from tasks.threshold import look

logger = logging.getLogger("gateway_tuning.feedback")


@task(name="import feedback", **STAGE)
def import_feedback(
    path: Path,
    mapping_path: Path | None,
    tenant: str,
    source: str | None = None,
    scales_path: Path | None = None,
) -> StageResult:
    """Read, map, validate and store a file or folder. Importing it again adds nothing."""
    mapping = load_mapping(mapping_path) if mapping_path else None
    scales = load_scales(scales_path) if scales_path else NO_SCALES
    report = import_file(
        path, mapping, runtime().feedback, tenant=tenant, now=now(), source=source, scales=scales
    )
    look(tenant)
    logger.info(
        "import: %d rows, %d imported, %d known already, %d quarantined",
        report.read, report.imported, report.duplicates, report.quarantined,
    )  # fmt: skip
    create_markdown_artifact(_markdown(report, path), key="feedback-import", description=path.name)
    return StageResult(
        id=report.batch_id,
        detail={
            "read": report.read,
            "records": report.records,
            "imported": report.imported,
            "replaced": report.replaced,
            "duplicates": report.duplicates,
            "quarantined": report.quarantined,
            "quarantined_by_reason": report.quarantined_by_reason,
            "expectations": report.expectations,
        },
    )


@task(name="pin watermark", **BRIEF)
def pin_watermark(tenant: str, watermark: int | None) -> int:
    """The given watermark, or all there is now."""
    return runtime().feedback.watermark(tenant) if watermark is None else watermark


def _markdown(report: ImportReport, path: Path) -> str:
    came = f"{report.imported} imported, {report.replaced} replaced, {report.duplicates} known already"
    lines = [
        f"# Feedback from {path.name}",
        f"{report.read} rows: {came}, {report.quarantined} quarantined.",
        "",
        "| quarantined because | records |",
        "|---|---:|",
        *(f"| {reason} | {count} |" for reason, count in report.quarantined_by_reason.items()),
    ]
    if report.expectations is not None:
        lines += ["", "| expectation | column | observed | result |", "|---|---|---|---|"]
        lines += [
            f"| {item['name']} | {item['column'] or ''} | {item['observed']} | "
            f"{'met' if item['success'] else item['severity']} |"
            for item in report.expectations["expectations"]
        ]
    return "\n".join(lines)
