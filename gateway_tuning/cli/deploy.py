"""Prefect's server is made to hold what the project's files say."""

from pathlib import Path
from typing import Annotated

import typer

from gateway_tuning.cli.console import told
from gateway_tuning.cli.running import become


@told
def deploy(
    pool: Annotated[
        str, typer.Option(help="Work pool that runs the flows: process (this machine) or kubernetes")
    ] = "process",
    folder: Annotated[
        Path | None,
        typer.Option(help="The project's folder on the machines of the pool `process`; default this one"),
    ] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Runs that train in their own process ask for a GPU (kubernetes)")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Name what would change, and change nothing")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Every object and what became of it")] = False,
) -> None:
    """Apply work pools, blocks, deployments and automations to the Prefect server of PREFECT_API_URL."""
    arguments = ["--pool", pool]
    arguments += ["--folder", str(folder)] if folder else []
    arguments += ["--gpu"] if gpu else []
    arguments += ["--dry-run"] if dry_run else []
    arguments += ["--json"] if json else []
    become("deployments.apply", arguments)
