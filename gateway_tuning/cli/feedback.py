"""`gateway-tuning feedback`: bring it in, see what was set aside."""

from pathlib import Path
from typing import Annotated

import typer

from gateway_tuning.cli.console import Tenant, now, open_store, read_settings, show_table, told

app = typer.Typer(no_args_is_help=True, help="Users' feedback: bring it in, see what was set aside.")


@app.command("import")
@told
def import_feedback(
    path: Annotated[Path, typer.Argument(help="JSON, JSONL, CSV or Parquet file, or a folder of them")],
    mapping: Annotated[Path | None, typer.Option(help="Where the export keeps what, YAML")] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="The tool that wrote it: langfuse, litellm, openai, tensorzero"),
    ] = None,
    scales: Annotated[Path | None, typer.Option(help="What the tool's scores mean, YAML")] = None,
    tenant: Tenant = "default",
) -> None:
    """Read, map, validate and store feedback. What is known already is not added again."""
    from gateway_tuning.feedback.importer import NO_SCALES, import_file
    from gateway_tuning.feedback.importers.scales import load_scales
    from gateway_tuning.feedback.mapping import load_mapping
    from gateway_tuning.feedback.store import FeedbackStore

    store = FeedbackStore(open_store(read_settings()))
    report = import_file(
        path,
        load_mapping(mapping) if mapping else None,
        store,
        tenant=tenant,
        now=now(),
        source=source,
        scales=load_scales(scales) if scales else NO_SCALES,
    )
    show_table(
        ["", "records"],
        [
            ["rows read", report.read],
            ["imported", report.imported],
            ["replaced by a later version", report.replaced],
            ["known already", report.duplicates],
            ["quarantined", report.quarantined],
            *([f"  {reason}", count] for reason, count in report.quarantined_by_reason.items()),
        ],
    )
    if report.expectations is not None:
        missed = [item for item in report.expectations["expectations"] if not item["success"]]
        typer.echo(f"Batch expectations: {len(missed)} of {len(report.expectations['expectations'])} not met")
        for item in missed:
            typer.echo(f"  {item['severity']}: {item['name']} {item['column'] or ''}: {item['observed']}")


@app.command("quarantine")
@told
def list_quarantine(
    tenant: Tenant = "default", limit: Annotated[int, typer.Option(help="Newest so many")] = 50
) -> None:
    """List the records that were set aside, with every reason."""
    from gateway_tuning.feedback.store import FeedbackStore

    found = FeedbackStore(open_store(read_settings())).list_quarantine(tenant, limit=limit)
    rows = [
        [
            row.entry.stage,
            f"{row.entry.source} {row.entry.position}",
            row.entry.feedback_id,
            "; ".join(row.entry.reasons),
        ]
        for row in found
    ]
    show_table(["stage", "where", "id", "reasons"], rows)
