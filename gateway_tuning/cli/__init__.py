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
    deployments,
    drift,
    evaluation_sets,
    evaluations,
    feedback,
    gateway,
    jobs,
    models,
    providers,
    records,
    running,
    search,
    shadows,
    subjects,
    vault,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_show_locals=False,
    help="Turn users' feedback behind an LLM gateway into a better model, safely.",
)
app.add_typer(running.app)
app.add_typer(feedback.app, name="feedback")
app.add_typer(gateway.app, name="gateway")
app.add_typer(shadows.app, name="shadow")
app.add_typer(canaries.app, name="canary")
app.command("deployments")(deployments.deployments)
app.add_typer(datasets.app, name="datasets")
app.add_typer(drift.app, name="drift")
app.add_typer(evaluation_sets.app, name="evaluation-sets")
app.add_typer(evaluations.app, name="evaluations")
app.add_typer(records.app)
app.add_typer(models.app, name="models")
app.add_typer(jobs.app, name="jobs")
app.add_typer(search.app, name="search")
app.add_typer(providers.app, name="providers")
app.add_typer(costs.costs_app, name="costs")
app.add_typer(costs.budgets_app, name="budgets")
app.command("anonymize")(anonymize.anonymize)
app.add_typer(access.keys_app, name="keys")
app.add_typer(access.audit_app, name="audit")
app.add_typer(subjects.app, name="subjects")
app.add_typer(vault.app, name="vault")


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
