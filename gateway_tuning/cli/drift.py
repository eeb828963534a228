"""Checks for drift: which there were, what one found, and how a model's went over time."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import (
    AsJson,
    Shown,
    Tenant,
    open_store,
    put_file,
    put_json,
    read_settings,
    show_table,
    told,
)
from gateway_tuning.errors import NotFoundError

if TYPE_CHECKING:
    from gateway_tuning.drift.store import DriftStore

app = typer.Typer(no_args_is_help=True, help="Whether what users ask has changed.")


@app.command("list")
@told
def list_reports(*, tenant: Tenant = "default", as_json: AsJson = False) -> None:
    """List checks, oldest first."""
    rows = [
        [report.id, report.model, report.kind, report.state, report.reference_id, report.created_at]
        for report in _store().history(tenant)
    ]
    show_table(["report", "model", "kind", "state", "against", "when"], rows, as_json=as_json)


@app.command("show")
@told
def show_report(
    report_id: Annotated[str, typer.Argument(autocompletion=ids("report_id"), help="The report")],
    html: Annotated[Path | None, typer.Option(help="Write a page with its charts there")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what one check found, column by column."""
    report = _store().get(report_id)
    if as_json:
        put_json(report)
        return
    result = report.result
    share = "" if report.alpha is None else f", check {report.check_number} at alpha {report.alpha:.2g}"
    typer.echo(f"{report.state.replace('_', ' ')}: {result['current']} against {result['reference']}{share}")
    for reason in result["reasons"]:
        typer.echo(f"- {reason}")
    rows = [
        [
            metric["name"].replace("_", " "),
            f"{metric['psi']:.3f}",
            f"{metric['psi_expected']:.3f}",
            f"{metric['p_value']:.2g}",
            "yes" if metric["drifted"] else "no",
        ]
        for metric in result["metrics"]
    ]
    if rows:
        show_table(["column", "PSI", "by chance", "p", "drifted"], rows)
    classifier = result.get("classifier")
    if classifier is not None:
        typer.echo(
            f"prompts as a whole: {'drifted' if classifier['drifted'] else 'no drift'}, AUC {classifier['auc']:.2f}, "
            f"p = {classifier['p_value']:.2g}"
        )
    for one in result.get("unmeasured", ()):
        typer.echo(f"not measured: {one['name'].replace('_', ' ')}: {one['reason']}")
    for issue in result["data_quality"]:
        typer.echo(f"{issue['severity']}: {issue['description']}")
    if html is not None:
        from gateway_tuning.drift.page import render_html
        from gateway_tuning.drift.result import read_report

        put_file(html, render_html(read_report(result)))
        typer.echo(str(html))


@app.command("history")
@told
def show_history(
    model: Annotated[str, typer.Argument(help="Model behind the gateway")],
    html: Annotated[Path | None, typer.Option(help="Write a page with the plot there")] = None,
    tenant: Tenant = "default",
    *,
    as_json: AsJson = False,
) -> None:
    """Show a model's checks over time: the largest PSI beyond chance, the classifier's AUC, and the alarms."""
    from gateway_tuning.drift.history import checks, history_html

    reports = _store().history(tenant, model)
    if not reports:
        raise NotFoundError(
            f"No drift check of {model} of {tenant}; the flow watch-drift makes one a day, check-drift one of a dataset"
        )
    rows = [
        [
            check.at,
            check.kind,
            check.state.replace("_", " "),
            check.number,
            Shown(check.psi, None if check.psi is None else f"{check.psi:.3f}"),
            check.column,
            Shown(check.auc, None if check.auc is None else f"{check.auc:.3f}"),
        ]
        for check in checks(reports)
    ]
    show_table(["when", "check", "state", "no.", "PSI beyond chance", "column", "AUC"], rows, as_json=as_json)
    if html is not None:
        put_file(html, history_html(model, reports))
        typer.echo(str(html), err=as_json)


def _store() -> "DriftStore":
    from gateway_tuning.drift.store import DriftStore

    return DriftStore(open_store(read_settings()))
