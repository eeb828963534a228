"""`gateway-tuning feedback`: bring it in, see what was set aside."""

from pathlib import Path
from typing import Annotated

import typer

from gateway_tuning.cli import quarantine
from gateway_tuning.cli.console import (
    AsJson,
    Limit,
    Tenant,
    now,
    open_store,
    put_json,
    read_settings,
    short,
    show_table,
    told,
)
from gateway_tuning.cli.progress import progress

app = typer.Typer(no_args_is_help=True, help="Users' feedback: bring it in, see what was set aside.")
app.add_typer(quarantine.app, name="quarantine")


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
    *,
    as_json: AsJson = False,
) -> None:
    """Read, map, validate and store feedback. What is known already is not added again."""
    from gateway_tuning.feedback.importer import NO_SCALES, import_file
    from gateway_tuning.feedback.importers.scales import load_scales
    from gateway_tuning.feedback.mapping import load_mapping
    from gateway_tuning.feedback.store import FeedbackStore

    store = FeedbackStore(open_store(read_settings()))
    with progress(f"Importing {path.name}, rows") as rows_read:
        report = import_file(
            path,
            load_mapping(mapping) if mapping else None,
            store,
            tenant=tenant,
            now=now(),
            source=source,
            scales=load_scales(scales) if scales else NO_SCALES,
            on_rows=rows_read,
        )
    if as_json:
        put_json(report)
        return
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


@app.command("list")
@told
def list_imports(*, tenant: Tenant = "default", limit: Limit = 50, as_json: AsJson = False) -> None:
    """List imports, newest first: what became of the rows of each."""
    from gateway_tuning.feedback.store import FeedbackStore

    rows = [
        [
            short(batch.id),
            batch.source,
            batch.created_at,
            *(
                batch.counts.get(name)
                for name in ("read", "imported", "replaced", "duplicates", "quarantined")
            ),
        ]
        for batch in FeedbackStore(open_store(read_settings())).batches(tenant, limit=limit)
    ]
    show_table(
        ["import", "source", "at", "read", "imported", "replaced", "known", "quarantined"],
        rows,
        as_json=as_json,
    )


@app.command("show")
@told
def show_receipt(
    feedback_id: Annotated[str, typer.Argument(help="Of the record, or the fingerprint of what has no id")],
    *,
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Show a record's receipt: where it is, what was decided on it, which datasets and models it is in."""
    from gateway_tuning.feedback.receipts import receipt

    found = receipt(open_store(read_settings()), tenant, feedback_id)
    if as_json:
        put_json(found)
        return
    show_table(
        ["", ""],
        [
            ["feedback", found.id],
            ["state", found.state],
            ["type", found.type],
            ["said", found.event_time],
            ["received", found.received_at],
            *[
                [
                    "set aside",
                    f"{one.at:%Y-%m-%d %H:%M} at {one.stage}: {'; '.join(one.reasons)}"
                    + ("" if one.review is None else f"; {one.review} in review"),
                ]
                for one in found.quarantine
            ],
        ],
    )
    if found.datasets:
        typer.echo("")
        show_table(
            ["dataset", "used", "reason", "models"],
            [
                [one.dataset_id, "yes" if one.used else "no", one.reason, ", ".join(one.models) or None]
                for one in found.datasets
            ],
        )
