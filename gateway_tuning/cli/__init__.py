"""The command line. Each command imports what it needs, so that `--help` answers at once."""

from typing import Annotated

import typer

from gateway_tuning import __version__
from gateway_tuning.cli import (
    access,
    anonymize,
    canaries,
    costs,
    datasets,
    deploy,
    deployments,
    doctor,
    drift,
    evaluation_sets,
    evaluations,
    feedback,
    gateway,
    jobs,
    models,
    notices,
    providers,
    records,
    running,
    runs,
    search,
    shadows,
    store,
    subjects,
    vault,
)

# What stands together in the help.
DATA = "Feedback and datasets"
TUNING = "Tuning"
MODELS = "Models before users"
ACCESS = "Access and privacy"
OPERATION = "Operation"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_show_locals=False,
    help="Turn users' feedback behind an LLM gateway into a better model, safely.",
)
app.add_typer(running.app)
app.command("doctor", rich_help_panel=OPERATION)(doctor.doctor)
app.add_typer(feedback.app, name="feedback", rich_help_panel=DATA)
app.add_typer(gateway.app, name="gateway", rich_help_panel=MODELS)
app.add_typer(shadows.app, name="shadow", rich_help_panel=MODELS)
app.add_typer(canaries.app, name="canary", rich_help_panel=MODELS)
app.command("deploy", rich_help_panel=OPERATION)(deploy.deploy)
app.command("deployments", rich_help_panel=MODELS)(deployments.deployments)
app.add_typer(datasets.app, name="datasets", rich_help_panel=DATA)
app.add_typer(drift.app, name="drift", rich_help_panel=DATA)
app.add_typer(evaluation_sets.app, name="evaluation-sets", rich_help_panel=DATA)
app.add_typer(evaluations.app, name="evaluations", rich_help_panel=MODELS)
app.add_typer(records.cycles_app, name="cycles", rich_help_panel=TUNING)
app.add_typer(store.app, name="store", rich_help_panel=OPERATION)
app.add_typer(models.app, name="models", rich_help_panel=MODELS)
app.add_typer(jobs.app, name="jobs", rich_help_panel=TUNING)
app.add_typer(runs.runs_app, name="runs", rich_help_panel=TUNING)
app.add_typer(runs.approvals_app, name="approvals", rich_help_panel=TUNING)
app.add_typer(search.app, name="search", rich_help_panel=TUNING)
app.add_typer(providers.app, name="providers", rich_help_panel=TUNING)
app.add_typer(costs.costs_app, name="costs", rich_help_panel=TUNING)
app.add_typer(costs.budgets_app, name="budgets", rich_help_panel=TUNING)
app.command("anonymize", rich_help_panel=DATA)(anonymize.anonymize)
app.add_typer(access.keys_app, name="keys", rich_help_panel=ACCESS)
app.add_typer(access.audit_app, name="audit", rich_help_panel=ACCESS)
app.add_typer(subjects.app, name="subjects", rich_help_panel=ACCESS)
app.add_typer(notices.app, name="notices", rich_help_panel=OPERATION)
app.add_typer(vault.app, name="vault", rich_help_panel=ACCESS)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
