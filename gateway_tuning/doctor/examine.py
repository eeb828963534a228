"""All checks, one after the other. None changes anything that stays."""

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from gateway_tuning.doctor.finding import Finding, State, fault
from gateway_tuning.settings import Settings

# By the name under which a check is asked for alone: module and function. Each is imported when it is its turn, for an
# installation may lack what another part of the product needs.
CHECKS = {
    "settings": ("settings", "check_settings"),
    "store": ("stores", "check_store"),
    "objects": ("stores", "check_objects"),
    "clock": ("stores", "check_clock"),
    "machine": ("machine", "check_machine"),
    "models": ("models", "check_models"),
    "prefect": ("prefect", "check_prefect"),
    "providers": ("providers", "check_providers"),
    "tokens": ("tokens", "check_tokens"),
    "gateways": ("gateways", "check_gateways"),
}


def examine(settings: Settings, folder: Path, *, only: Iterable[str] = ()) -> Iterator[Finding]:
    """`folder` is the project's, if it is at hand. A check that breaks off is a fault: nobody knows what it had found."""
    for name in list(only) or list(CHECKS):
        try:
            yield from _findings(name, settings, folder)
        except ModuleNotFoundError as error:
            yield fault(
                name,
                f"could not be examined: {error.name} is not installed here",
                "Run the doctor where this part runs, as with the worker; `--only` leaves the others out",
            )
        except Exception as error:  # noqa: BLE001 - a doctor examines the rest all the same
            yield fault(
                name,
                f"the check itself failed: {type(error).__name__}",
                f"Report this with the output of `gateway-tuning doctor --only {name}`",
            )


def is_well(findings: Iterable[Finding]) -> bool:
    return all(finding.state is not State.FAULT for finding in findings)


def _findings(name: str, settings: Settings, folder: Path) -> Iterator[Finding]:
    module, function = CHECKS[name]
    check = getattr(import_module(f"gateway_tuning.doctor.{module}"), function)
    match name:
        case "settings":
            found = check(settings, _variables(folder))
        case "prefect":
            found = check(settings, folder)
        case _:
            found = check(settings)
    yield from [found] if isinstance(found, Finding) else found


def _variables(folder: Path) -> list[str]:
    """Names alone; `.env` is read as settings are, from the folder in which a command is given."""
    written = folder / ".env"
    lines = written.read_text(encoding="utf-8").splitlines() if written.is_file() else []
    named = [line.removeprefix("export ").partition("=")[0].strip() for line in lines]
    return [*os.environ, *(name for name in named if name and not name.startswith("#"))]
