"""What all commands share: how results and errors are told, and where settings come from."""

import getpass
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from gateway_tuning.errors import GatewayTuningError, InputFileError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

Tenant = Annotated[str, typer.Option(help="Whose data")]


def actor() -> str:
    """Who gives the command, for the audit log."""
    return f"cli:{getpass.getuser()}"


def told(command: Callable[P, R]) -> Callable[P, R]:
    """Our own errors are told in one line; anything else is a defect and keeps its trace."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except GatewayTuningError as error:
            typer.secho(str(error), fg="red", err=True)
            raise typer.Exit(1) from error

    return run


def read_settings() -> "Settings":
    from gateway_tuning.settings import Settings

    return Settings()


def open_store(settings: "Settings") -> "sa.Engine":
    from gateway_tuning.storage.database import open_database

    return open_database(settings.resolved_database_url)


def now() -> datetime:
    return datetime.now(UTC)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, header_style="dim")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    Console(highlight=False).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)


def put_file(path: Path, text: str) -> None:
    """A file appears whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise InputFileError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
