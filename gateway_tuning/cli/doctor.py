"""`gateway-tuning doctor`: whether all that is needed is there and answers, and what to do."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli.console import AsJson, put_json, read_settings, told
from gateway_tuning.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway_tuning.doctor.finding import Finding

_MARKS = {"ok": ("green", "ok"), "warning": ("yellow", "warning"), "fault": ("red", "FAULT")}


@told
def doctor(
    *,
    only: Annotated[
        list[str] | None, typer.Option(help="This check alone, again for another; all when left out")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Examine settings, stores, Prefect, providers, models and this machine. Ends with 1 where something is at fault."""
    from gateway_tuning.doctor.examine import CHECKS, examine, is_well

    unknown = [name for name in only or () if name not in CHECKS]
    if unknown:
        raise ConfigurationError(f"No check {', '.join(unknown)}; there are: {', '.join(CHECKS)}")
    findings = []
    for finding in examine(read_settings(), Path.cwd(), only=only or ()):
        findings.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        put_json(findings)
    else:
        counts = Counter(finding.state.value for finding in findings)
        typer.echo("\n" + ", ".join(f"{count} {state}" for state, count in sorted(counts.items())))
    if not is_well(findings):
        raise typer.Exit(1)


def _tell(finding: "Finding") -> None:
    """As it is found: some of it takes seconds."""
    color, mark = _MARKS.get(finding.state.value, ("bright_black", "-"))
    typer.echo(f"{typer.style(f'{mark:<8}', fg=color)} {finding.check}: {finding.told}")
    if finding.remedy is not None:
        typer.echo(f"         {finding.remedy}")
    sys.stdout.flush()
